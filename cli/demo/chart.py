"""Small pictures made of characters: a bar chart and a meter. Pure text, coloured by rich."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from rich.text import Text

_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"


class Bar(NamedTuple):
    """A bar: its height from 0 to 1, None for no value, and a rich style."""

    height: float | None
    style: str


def bars(values: Sequence[Bar], rows: int) -> list[Text]:
    """The bars side by side, one character wide each, as `rows` lines from the top. No value is a dot on the floor."""
    lines = [Text(no_wrap=True) for _ in range(rows)]
    for value in values:
        eighths = 0 if value.height is None else max(1, round(min(1.0, max(0.0, value.height)) * rows * 8))
        for number, line in enumerate(lines):
            filled = min(8, max(0, eighths - (rows - 1 - number) * 8))
            line.append(_EIGHTHS[filled], value.style)
        if value.height is None:
            lines[-1].right_crop(1)
            lines[-1].append("·", "dim")
    return lines


def meter(share: float, width: int, style: str) -> Text:
    """A line of `width` characters, filled from the left by `share` (0..1)."""
    filled = round(min(1.0, max(0.0, share)) * width)
    return Text.assemble(("━" * filled, style), ("━" * (width - filled), "bright_black"))
