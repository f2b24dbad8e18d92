"""Log lines: for people on a terminal, as JSON in containers.

A line about a transaction has its id in the field `transaction_id`, in every service: that is what they are correlated
by. At DEBUG every service has such a line for every transaction, else only for those that deserve one.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

from pythonjsonlogger.json import JsonFormatter

from adapters.runtime.settings import Settings

TRANSACTION_ID: Final = "transaction_id"

_FOR_PEOPLE: Final = "%(asctime)s %(levelname)-7s %(name)s  %(message)s"
# What the libraries we use have to say is of interest from WARNING on.
OUR_PACKAGES: Final = ("adapters", "cardwatch", "cli", "infra", "models", "monitoring", "pipelines", "services")


def about(transaction_id: str) -> dict[str, str]:
    """The `extra` of a log line about one transaction."""
    return {TRANSACTION_ID: transaction_id}


def set_up_logging(settings: Settings, service: str) -> None:
    """Send the log to stderr in the format and from the level that the settings name. `service`: who is speaking."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_as_json(service) if settings.log_format == "json" else _ForPeople(_FOR_PEOPLE))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for package in OUR_PACKAGES:
        logging.getLogger(package).setLevel(settings.log_level)


def _as_json(service: str) -> JsonFormatter:
    return JsonFormatter(
        "%(levelname)s %(name)s %(message)s",
        rename_fields={"levelname": "level", "name": "logger"},
        static_fields={"service": service},
        timestamp="time",
    )


class _ForPeople(logging.Formatter):
    """A line with the transaction's id at its end, if it is about one; whatever the id is, it stays one line."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        transaction_id = getattr(record, TRANSACTION_ID, None)
        if transaction_id is None:
            return line
        return f"{line}  [{transaction_id.encode('unicode_escape').decode()}]"
