"""Log format: text for terminals, JSON for containers.

Lines about a transaction have its id in the field `transaction_id`, by which the lines of all services are correlated.
At DEBUG every service logs a line per transaction. No line holds the user or password of an address.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

from pythonjsonlogger.json import JsonFormatter

from adapters.runtime.addresses import without_userinfo
from adapters.runtime.settings import Settings
from adapters.runtime.terminal_text import escaped
from cardwatch.card_numbers import mask_card_numbers

TRANSACTION_ID: Final = "transaction_id"

MAX_CHARACTERS: Final = 500
"""Maximum length of a quoted text in a log line."""
_LONGEST_CARD_NUMBER: Final = 73
"""Characters of a card number of 19 digits with three separators between any two. Its mask has more than a sixth."""

_TEXT_FORMAT: Final = "%(asctime)s %(levelname)-7s %(name)s  %(message)s"
# Other packages log from WARNING on.
OUR_PACKAGES: Final = ("adapters", "cardwatch", "cli", "infra", "models", "monitoring", "pipelines", "services")


def about(transaction_id: str) -> dict[str, str]:
    """Return the `extra` of a log line about one transaction."""
    return {TRANSACTION_ID: transaction_id}


def one_line(text: str, *, limit: int = MAX_CHARACTERS) -> str:
    """Return a text that may quote records of others for one line of a log or a terminal.

    Control characters are escaped, card numbers masked, and what is longer than `limit` is cut.
    """
    # What is beyond this has no influence on the line: a name in a record can be a megabyte long.
    masked = mask_card_numbers(text[: 6 * limit + _LONGEST_CARD_NUMBER])
    shown = escaped(masked)
    return shown if len(shown) <= limit else f"{shown[:limit]}..."


def set_up_logging(settings: Settings, service: str) -> None:
    """Log to stderr in the format and from the level of the settings. `service` is a field of JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_json_formatter(service) if settings.log_format == "json" else _TextFormatter(_TEXT_FORMAT))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for package in OUR_PACKAGES:
        logging.getLogger(package).setLevel(settings.log_level)


def _json_formatter(service: str) -> JsonFormatter:
    return _JsonFormatter(
        "%(levelname)s %(name)s %(message)s",
        rename_fields={"levelname": "level", "name": "logger"},
        static_fields={"service": service},
        timestamp="time",
    )


class _JsonFormatter(JsonFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return without_userinfo(super().format(record))


class _TextFormatter(logging.Formatter):
    """Appends the transaction's id to a line. It is escaped, so that the line stays one line."""

    def format(self, record: logging.LogRecord) -> str:
        line = without_userinfo(super().format(record))
        transaction_id = getattr(record, TRANSACTION_ID, None)
        if transaction_id is None:
            return line
        return f"{line}  [{transaction_id.encode('unicode_escape').decode()}]"
