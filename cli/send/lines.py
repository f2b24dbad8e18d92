"""Transactions from JSON lines, all checked before one is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, NamedTuple

from adapters.records.printable import printable
from cardwatch.errors import InvalidRecord, Misconfigured
from cardwatch.events import Transaction, decode

MAX_LINES: Final = 100_000
"""Maximum number of lines. They are kept in memory, half a kilobyte each, until all are checked."""
MAX_LINE_BYTES: Final = 64_000
"""Maximum length of a line. A transaction has at most some thousand."""
SHOWN_ERRORS: Final = 20
"""Number of bad lines that a refusal names."""
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class _Line(NamedTuple):
    """The number of a line, from 1, and its content, None if it is longer than `MAX_LINE_BYTES`."""

    number: int
    content: bytes | None


def read_transactions(file: BinaryIO, *, skip: bool, report: Callable[[str], None]) -> list[Transaction]:
    """Return the transactions of a file, one per line; empty lines are passed over.

    Raises `Misconfigured` with line, field and reason of bad lines. With `skip` they are reported and left out instead.
    Also raises it if there is no transaction at all.
    """
    transactions: dict[tuple[str, str], int] = {}
    found: list[Transaction] = []
    errors: list[str] = []
    for line in _lines(file):
        try:
            transaction = _transaction(line)
            identity = (transaction.card_id, transaction.transaction_id)
            if (first := transactions.setdefault(identity, line.number)) != line.number:
                raise InvalidRecord(f"is that of line {first}, too", field="$.transaction_id")
            found.append(transaction)
        except InvalidRecord as error:
            errors.append(f"line {line.number}: {printable(str(error))}")
            if skip:
                report(f"left out: {errors[-1]}")
    name = getattr(file, "name", "the input")
    if errors and not skip:
        shown = "".join(f"\n  {text}" for text in errors[:SHOWN_ERRORS])
        more = f"\n  and {len(errors) - SHOWN_ERRORS:,} more" if len(errors) > SHOWN_ERRORS else ""
        raise Misconfigured(
            f"nothing was sent, because {len(errors):,} of {len(errors) + len(found):,} lines of {name} are no "
            f"transactions:{shown}{more}\nEach line must be one JSON object of docs/contracts/transaction.schema.json. "
            "Correct these lines, or leave them out with --on-error skip"
        )
    if not found:
        raise Misconfigured(f"there is no transaction in {name}")
    return found


def _transaction(line: _Line) -> Transaction:
    if line.content is None:
        raise InvalidRecord(f"longer than {MAX_LINE_BYTES:,} bytes")
    return decode(line.content, Transaction)


def _lines(file: BinaryIO) -> Iterator[_Line]:
    """Yield the lines that are not empty. Raises `Misconfigured` for more than `MAX_LINES`."""
    number = 0
    while content := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if number > MAX_LINES:
            raise Misconfigured(
                f"more than {MAX_LINES:,} lines: nothing was sent; send them in parts (split -l {MAX_LINES})"
            )
        is_whole = content.endswith(b"\n") or len(content) <= MAX_LINE_BYTES
        while not content.endswith(b"\n") and len(content) > MAX_LINE_BYTES:
            content = file.readline(MAX_LINE_BYTES + 1)
        if not is_whole:
            yield _Line(number, None)
        elif stripped := content.removeprefix(_BYTE_ORDER_MARK if number == 1 else b"").strip():
            yield _Line(number, stripped)
