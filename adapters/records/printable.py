"""Bytes and texts of others, shown so that neither a card number nor a control character reaches the terminal."""

from __future__ import annotations

from typing import Final

from adapters.runtime.terminal_text import escaped
from cardwatch.card_numbers import card_number_spans, mask_card_numbers

HEX_LINE: Final = 16
"""Bytes per line of a hexadecimal listing."""
_ALLOWED: Final = "\n\r\t"
MASKED: Final = "*"


def printable(text: str) -> str:
    r"""Return a text of others on one line, with card numbers masked and control characters escaped.

    >>> printable("4111 1111 1111 1111 is no amount\x1b[2J")
    '[card number] is no amount\\x1b[2J'
    """
    return escaped(mask_card_numbers(text))


def as_text(data: bytes) -> str | None:
    """Return the bytes as text with card numbers masked, None if they are no UTF-8 or hold control characters."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    if any(ord(character) < 32 and character not in _ALLOWED for character in text):
        return None
    return "\n".join(printable(line) for line in text.splitlines())


def as_hex(data: bytes) -> str:
    """Return a hexadecimal listing: offset, bytes, and ASCII where it is printable. The digits of card numbers are `*`.

    >>> print(as_hex(bytes(3) + b"card"))
    000000  00 00 00 63 61 72 64                              ...card
    """
    masked = _bytes_of_card_numbers(data)
    lines = []
    for start in range(0, len(data), HEX_LINE):
        row = range(start, min(start + HEX_LINE, len(data)))
        values = " ".join(MASKED * 2 if index in masked else f"{data[index]:02x}" for index in row)
        characters = "".join(MASKED if index in masked else _ascii(data[index]) for index in row)
        lines.append(f"{start:06x}  {values:<{3 * HEX_LINE}}  {characters}")
    return "\n".join(lines)


def _bytes_of_card_numbers(data: bytes) -> set[int]:
    text = data.decode(errors="surrogateescape")  # one character for each byte that is no UTF-8
    spans = card_number_spans(text)
    if not spans:
        return set()
    starts = [0]
    for character in text:
        starts.append(starts[-1] + len(character.encode(errors="surrogateescape")))
    return {index for start, end in spans for index in range(starts[start], starts[end])}


def _ascii(value: int) -> str:
    return chr(value) if 32 <= value < 127 else "."
