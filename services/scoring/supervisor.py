"""`python -m services.scoring.supervisor serve ...`: BentoML's command, with its log lines in the form of ours."""

from __future__ import annotations

from bentoml._internal import log as bentoml_logging

from adapters.settings import read_settings
from services.scoring.logs import take_over_logging


def main() -> None:
    """Run `bentoml`; it offers no way to say how its log is to look."""
    settings = read_settings()
    bentoml_logging.configure_server_logging = lambda: take_over_logging(settings)
    # It takes what was replaced here when it is imported.
    from bentoml_cli.cli import cli  # noqa: PLC0415

    cli(prog_name="bentoml")


if __name__ == "__main__":
    main()
