"""`python -m services.scoring`: replace this process by `bentoml serve` on the address in the settings.

SageMaker starts a container with `python -m services.scoring serve`: then the model is read from a folder, the port is
the one that SageMaker names, and no API key is required (`services.scoring.aws.sagemaker`).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from msgspec import structs

from adapters.model_registry.mlflow_access import MlflowAccess
from adapters.runtime.addresses import plain
from adapters.runtime.logs import set_up_logging
from adapters.runtime.ports import require_free
from adapters.runtime.process import exit_on_error
from adapters.runtime.settings import Settings, child_environment, read_settings, tls_of
from adapters.scoring.api_keys import read_keys
from adapters.tracing.open import require_tracing
from cardwatch.errors import Misconfigured

SERVICE: Final = "cardwatch-scoring"
SAGEMAKER_MODEL_FOLDER: Final = Path("/opt/ml/model")
SAGEMAKER_BIND: Final = "0.0.0.0"  # noqa: S104 (only SageMaker can reach the network of the container)
SAGEMAKER_PORT: Final = "8080"
SAGEMAKER_PORT_VARIABLE: Final = "SAGEMAKER_BIND_TO_PORT"
"""Environment variable with which SageMaker names another port."""

_KEEP_ALIVE_SECONDS: Final = 75


class ServerOptions(NamedTuple):
    """A BentoML service (`target`), its address, the settings of its workers, and further command line arguments."""

    target: str
    host: str
    port: int
    settings: Settings
    arguments: tuple[str, ...] = ()


def main() -> None:
    """Replace this process by the server, so that the server receives its signals and sets its exit status."""
    with exit_on_error():
        settings = read_settings()
        set_up_logging(settings, "scoring")
        options = server_options(sys.argv[1:], settings)
        require_free(options.port, "the scoring service")
        command, environment = _command(options), _environment(options.settings)
        os.execve(command[0], command, environment)  # noqa: S606 (without a shell on purpose)


def server_options(arguments: Sequence[str], settings: Settings) -> ServerOptions:
    """Return the options for these arguments and settings; raise `Misconfigured` if one of them cannot be used."""
    if not arguments:
        return _service(settings)
    if list(arguments) == ["serve"]:
        return _on_sagemaker(settings)
    raise Misconfigured(
        f"the scoring service does not know {' '.join(arguments)!r}: it takes no argument, or `serve` on SageMaker"
    )


def _service(settings: Settings) -> ServerOptions:
    # BentoML restarts a failing worker again and again, so check here what a worker reads.
    if settings.policy_file is not None:
        from adapters.runtime.policy_file import read_control, read_policies  # noqa: PLC0415 (it imports numpy)

        read_control(settings, read_policies(settings).decision)
    read_keys(settings.keys_file)
    require_tracing(settings)
    shown, address = f"CARDWATCH_SCORING_URL={str(settings.scoring_url)!r}", urlsplit(plain(settings.scoring_url))
    if not address.hostname or not address.port:
        raise Misconfigured(f"{shown} must name a host and a port to listen on")
    tls = tls_of(settings)
    if (address.scheme == "https") != (tls is not None):
        raise Misconfigured(
            f"{shown} and CARDWATCH_TLS_CERTIFICATE do not go together: an"
            " address with https:// needs a certificate, and a certificate such an address"
        )
    if not settings.api_key:
        raise Misconfigured("CARDWATCH_API_KEY is not set: the scoring service does not run without one")
    if not settings.mlflow_url and not settings.model_folder:
        raise Misconfigured(
            "CARDWATCH_MLFLOW_URL is not set: the scoring service takes its model from there, or from a folder"
            " (CARDWATCH_MODEL_FOLDER)"
        )
    if settings.mlflow_url:
        MlflowAccess.to(settings.mlflow_url).require_usable()
    tls_options = () if tls is None else ("--ssl-certfile", str(tls[0]), "--ssl-keyfile", str(tls[1]))
    host = settings.bind or address.hostname
    return ServerOptions("services.scoring.service:Scoring", host, address.port, settings, tls_options)


def _on_sagemaker(settings: Settings) -> ServerOptions:
    port = child_environment(settings).get(SAGEMAKER_PORT_VARIABLE, SAGEMAKER_PORT)
    if not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise Misconfigured(f"{SAGEMAKER_PORT_VARIABLE}={port!r} is not a port")
    settings = structs.replace(settings, model_folder=settings.model_folder or SAGEMAKER_MODEL_FOLDER)
    return ServerOptions(
        "services.scoring.service:SageMakerScoring", settings.bind or SAGEMAKER_BIND, int(port), settings
    )


def _command(options: ServerOptions) -> list[str]:
    return [
        sys.executable, "-m", "services.scoring.supervisor", "serve", options.target,
        "--host", options.host, "--port", str(options.port),
        "--timeout-keep-alive", str(_KEEP_ALIVE_SECONDS),
        "--timeout-graceful-shutdown", "5",
        "--quiet",  # for a worker until it uses our logging; errors are still logged
        *options.arguments,
    ]  # fmt: skip


def _environment(settings: Settings) -> dict[str, str]:
    bentoml_home = settings.home.absolute() / "bentoml"
    try:
        bentoml_home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Misconfigured(f"cannot write to {settings.home}: {error}") from error
    return child_environment(
        settings,
        BENTOML_HOME=str(bentoml_home),
        BENTOML_DO_NOT_TRACK="True",
        BENTOML_CONFIG_OVERRIDES=json.dumps(
            {
                "tracing": {"excluded_urls": ".*"},  # saves BentoML's endpoints a third of a millisecond per request
                "services": {SERVICE: {"workers": settings.scoring_workers}},
            }
        ),
    )


if __name__ == "__main__":
    main()
