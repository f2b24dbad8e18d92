"""Dead letters as text for the terminal."""

from __future__ import annotations

from adapters.records.dead_letters import Original, StoredLetter
from adapters.records.printable import HEX_LINE, as_hex, as_text, printable
from adapters.runtime import logs
from cardwatch.events import DeadLetter, from_epoch_ms


def one_line(stored: StoredLetter) -> str:
    """Return when and where, reason and size of a letter."""
    letter = stored.letter
    size = letter.value_bytes or len(letter.value or b"")
    return f"{_when(stored)}  {stored.position}: {_reason(letter)} ({size:,} bytes)"


def described(stored: StoredLetter, original: Original, *, shown_bytes: int | None, as_hexadecimal: bool) -> str:
    """Return the whole letter. `shown_bytes` limits key and value, None for no limit."""
    letter = stored.letter
    value = original.value if original.value is not None else letter.value
    lines = [
        f"record    {stored.position}",
        f"rejected  {_when(stored)}",
        f"field     {printable(letter.field) or 'the whole record'}",
        f"reason    {printable(letter.reason)}",
        f"key       {_size(letter.key, letter.key_bytes)}",
        *_content(letter.key, shown_bytes, as_hexadecimal=as_hexadecimal),
        f"value     {_size(letter.value, letter.value_bytes)}",
    ]
    if letter.value_sha256 is not None:
        lines.append(f"          {original.source}; SHA-256 {letter.value_sha256}")
    return "\n".join([*lines, *_content(value, shown_bytes, as_hexadecimal=as_hexadecimal)])


def _when(stored: StoredLetter) -> str:
    return f"{from_epoch_ms(stored.rejected_ms):%Y-%m-%dT%H:%M:%SZ}"


def _reason(letter: DeadLetter) -> str:
    # A letter of another program can hold a reason of a megabyte; `dead-letters show` prints it whole.
    return logs.one_line(f"{letter.field}: {letter.reason}" if letter.field else letter.reason)


def _size(part: bytes | None, whole_bytes: int | None) -> str:
    if part is None:
        return "none"
    if whole_bytes is not None:
        return f"{whole_bytes:,} bytes, of which the letter has the first {len(part):,}"
    return f"{len(part):,} bytes"


def _content(part: bytes | None, shown_bytes: int | None, *, as_hexadecimal: bool) -> list[str]:
    """Return the lines of a key or value, as text if it is one. They are masked as a whole, and cut afterwards."""
    if not part:
        return []
    text = None if as_hexadecimal else as_text(part)
    shown, unit, length = (text, "characters", len(text)) if text is not None else (as_hex(part), "bytes", len(part))
    if shown_bytes is not None and length > shown_bytes:
        shown = shown[:shown_bytes] if text is not None else "\n".join(shown.splitlines()[: shown_bytes // HEX_LINE])
    lines = [f"    {line}" for line in shown.splitlines()]
    rest = length - (length if shown_bytes is None else shown_bytes)
    return lines + ([f"    ... {rest:,} {unit} more, shown with --all"] if rest > 0 else [])
