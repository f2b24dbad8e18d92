"""`python -m infra.moto --port N`: serve the local AWS on the loopback interface until SIGTERM."""

from __future__ import annotations

import argparse
import logging
import shlex
import warnings

from adapters.runtime.ports import LOOPBACK


def main() -> None:
    """Install our extension in moto and run moto's server."""
    parser = argparse.ArgumentParser(prog="python -m infra.moto", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--image", action="append", default=[], metavar="WORD=COMMAND", help="command that an image starts"
    )
    arguments = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # otherwise it logs every request
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # raised by modules that moto imports
        from moto.core.config import default_user_config  # noqa: PLC0415
        from moto.server import main as serve  # noqa: PLC0415

        from infra.moto.container_images import ENTRY_POINTS  # noqa: PLC0415
        from infra.moto.extension import install  # noqa: PLC0415

    default_user_config["iam"]["load_aws_managed_policies"] = True
    default_user_config["stepfunctions"]["execute_state_machine"] = True
    for word, _, command in (image.partition("=") for image in arguments.image):
        ENTRY_POINTS[word] = shlex.split(command)
    install()
    serve(["--host", LOOPBACK, "--port", str(arguments.port)])


if __name__ == "__main__":
    main()
