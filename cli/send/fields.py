"""The fields of a transaction as options of the command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import uuid4

import click
import msgspec
from msgspec import NODEFAULT, structs

from adapters.records.printable import printable
from adapters.runtime.addresses import is_unicode
from cardwatch.errors import InvalidRecord, Misconfigured
from cardwatch.events import AuthorizationOutcome, Channel, Transaction, UtcTime, decode, validate_time

_NUMBERS: Final = ("amount_minor", "latitude", "longitude")
_HELP: Final[dict[str, str]] = {
    "transaction_id": "Id, unique per card.  [default: a random one]",
    "card_id": "Token of the card, never its number.",
    "merchant_id": "Token of the merchant.",
    "occurred_at": "Event time with its offset, such as 2025-03-08T12:00:00Z.  [default: now]",
    "amount_minor": "Amount in minor units of the currency, such as cents.",
    "currency": "ISO 4217, such as EUR.",
    "merchant_category": "ISO 18245, four digits.",
    "channel": "One of " + ", ".join(channel.value for channel in Channel) + ".",
    "country": "Country of the merchant, ISO 3166-1 alpha-2.",
    "latitude": "Degrees, where the merchant is.",
    "longitude": "Degrees, where the merchant is.",
    "device_id": "Token of the device.",
    "customer_id": "Token of the customer.",
    "previous_outcome": "Outcome of the card's previous attempt, "
    + " or ".join(outcome.value for outcome in AuthorizationOutcome)
    + ".",
    "card_range": "Token of the range of card numbers that the card belongs to.",
}
"""The help of each field, in the order of the contract."""
_DEFAULTS: Final = ("transaction_id", "occurred_at")
"""Required fields that get a value here if none is given."""

F = TypeVar("F", bound=Callable[..., Any])


def field_options(command: F) -> F:
    """Add an option for each field of a transaction. Their values are texts, checked by the contract."""
    for name, text in reversed(_HELP.items()):
        command = click.option(_option(name), name, metavar="TEXT", help=text)(command)
    return command


def transaction_from_options(given: Mapping[str, str], now: datetime) -> Transaction:
    """Return the transaction with these fields. `now` is the event time if none is given.

    Raises `Misconfigured`, with the option, if one is missing or breaks the contract.
    """
    required = [field.name for field in structs.fields(Transaction) if field.required and field.default is NODEFAULT]
    missing = [_option(name) for name in required if name not in given and name not in _DEFAULTS]
    if missing:
        raise Misconfigured(f"a transaction needs {', '.join(missing)} too: see `cardwatch send --help`")
    for name, text in given.items():
        if not is_unicode(text):
            raise Misconfigured(f"{_option(name)}={printable(text)!r}: is not UTF-8")
    values: dict[str, object] = {"transaction_id": f"sent-{uuid4().hex}", "occurred_at": now}
    values |= {name: _number(text) if name in _NUMBERS else text for name, text in given.items()}
    try:
        return decode(msgspec.json.encode(values), Transaction)
    except InvalidRecord as error:
        name = error.field.removeprefix("$.")
        shown = f"{_option(name)}={printable(given[name])!r}: " if name in given else ""
        raise Misconfigured(f"{shown}{printable(error.reason)}") from error


def event_time_from_option(text: str) -> datetime:
    """Return the event time in `--occurred-at`. Raises `Misconfigured` for a text that is none or has no offset."""
    try:
        at = msgspec.convert(text, UtcTime)
        validate_time(at, "occurred_at")
    except (msgspec.ValidationError, InvalidRecord) as error:
        raise Misconfigured(f"--occurred-at={printable(text)!r}: {printable(str(error))}") from error
    return at


def _number(text: str) -> object:
    """Return the number that the text is in JSON, else the text, which the contract then refuses."""
    try:
        return msgspec.json.decode(text, type=int | float)
    except msgspec.DecodeError:
        return text


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
