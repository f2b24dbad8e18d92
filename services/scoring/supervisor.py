"""`python -m services.scoring.supervisor serve ...`: BentoML's command, with our logging and a quicker eye."""

from __future__ import annotations

from functools import partial
from typing import Final

from bentoml._internal import log as bentoml_logging
from bentoml._internal.utils import circus

from adapters.runtime.settings import read_settings
from services.scoring.logs import take_over_logging

CHECK_SECONDS: Final = 1
"""How often the supervisor looks after its workers; BentoML says every 10 s, and one worker is missed that long."""


def main() -> None:
    """Run `bentoml`; it offers no way to say how its log is to look, nor how soon a dead worker is to be noticed."""
    settings = read_settings()
    circus.create_standalone_arbiter = partial(circus.create_standalone_arbiter, check_delay=CHECK_SECONDS)
    bentoml_logging.configure_server_logging = lambda: take_over_logging(settings)
    # It takes what was replaced here when it is imported.
    from bentoml_cli.cli import cli  # noqa: PLC0415

    cli(prog_name="bentoml")


if __name__ == "__main__":
    main()
