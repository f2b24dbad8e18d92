"""Numbers and tables of the model card as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Final

UNKNOWN: Final = "-"
"""What stands for a number that the rows cannot give."""


def plain(text: str) -> str:
    """Return a text of others as one line that Markdown shows as it is, also in a table."""
    line = " ".join(text.split()).replace("\\", "\\\\")
    for mark in "|`*_<>[]":
        line = line.replace(mark, f"\\{mark}")
    return line


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def key_values(cells: Mapping[str, str]) -> str:
    """Return a table of two columns."""
    return table(["item", "value"], cells.items())


def bullets(lines: Iterable[str]) -> str:
    """Return a list."""
    return "\n".join(f"- {line}" for line in lines)


def count(number: float | None) -> str:
    """Return a number of things; sums of weights are rounded to one decimal."""
    if number is None:
        return UNKNOWN
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:,.1f}"


def ratio(value: float | None, digits: int = 3) -> str:
    """Return a number in 0..1, or a ratio."""
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def percent(share: float | None) -> str:
    """Return a share in per cent."""
    return UNKNOWN if share is None else f"{share * 100:.1f} %"


def days(listed: Sequence[date]) -> str:
    """Return days, the first seven by name."""
    if not listed:
        return "none"
    named = ", ".join(str(day) for day in listed[:7])
    return named if len(listed) <= 7 else f"{named} and {len(listed) - 7} more"
