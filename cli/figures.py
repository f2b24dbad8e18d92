"""A figure with its unit and source, and how it is shown: unit, rounding, thousands separators.

A figure is shown with three significant digits, without zeros at the end of a fraction, and an integer exactly. Times,
sizes and dollars have their unit behind or before them; a count and a rate are bare, because the text says what they
count.
"""

from __future__ import annotations

from decimal import Decimal
from math import isfinite
from typing import Final

from msgspec import Struct

DIGITS: Final = 3
"""Significant digits of a figure that asks for no other number."""

_KINDS: Final = {
    "time": {"µs": 1.0, "ms": 1e3, "s": 1e6, "min": 60e6, "hours": 3600e6},
    "size": {"bytes": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "PB": 1e15},
    "count": {"": 1.0, "%": 0.01, "thousand": 1e3, "million": 1e6, "billion": 1e9},
    "dollars": {"$": 1.0, "$ thousand": 1e3, "$ million": 1e6},
}
"""Units of each kind, with the size of one of them in the smallest."""
_UNITS: Final = {unit: (kind, size) for kind, units in _KINDS.items() for unit, size in units.items()}
_SHORTENED: Final = {"us": "µs"}


class UnknownUnit(ValueError):
    """A unit that a figure cannot be shown in. The message says why."""


class SourcedFigure(Struct, frozen=True):
    """A figure: value, unit (a key of one of the kinds above; other units count as counts) and where it comes from."""

    value: float
    unit: str
    source: str


def shown(figure: SourcedFigure, options: str = "") -> str:
    """Return a figure as text.

    `options` are a unit to convert to, a number of significant digits (zeros at the end then stay), and `bare` for no
    unit, in any order: `ms`, `million 2`, `bare`. Raises `UnknownUnit` if the figure cannot be converted.
    """
    words = options.split()
    digits = next((int(word) for word in words if word.isdecimal()), None)
    units = [word for word in words if not word.isdecimal() and word != "bare"]
    if len(units) > 1:
        raise UnknownUnit(f"{' '.join(units)!r} are several units")
    own = own_unit(figure)
    kind, size = _UNITS[own]
    target = _target(units[0], kind) if units else own
    value = figure.value if target == own else figure.value * size / _UNITS[target][1]
    is_exact = isinstance(figure.value, int) and target == own and digits is None
    number = f"{figure.value:,}" if is_exact else _number(value, digits)
    return number if "bare" in words else _with_unit(number, target)


def own_unit(figure: SourcedFigure) -> str:
    """Return the unit of a figure among those that are known: `µs per transaction` is `µs`, `requests` is a count."""
    unit = _SHORTENED.get(figure.unit, figure.unit)
    if unit in _UNITS:
        return unit
    first = unit.split(" ")[0]
    first = _SHORTENED.get(first, first)
    return first if first in _UNITS and _UNITS[first][0] in {"time", "size"} else ""


def _number(value: float, digits: int | None) -> str:
    """Return a number with thousands separators; zeros at the end of a fraction stay only if `digits` are given."""
    if not isfinite(value):
        raise UnknownUnit(f"{value} is no finite number")
    if value == 0:
        return "0"
    text = f"{Decimal(f'{value:.{(digits or DIGITS) - 1}e}'):,f}"
    return text.rstrip("0").rstrip(".") if digits is None and "." in text else text


def _target(word: str, kind: str) -> str:
    unit = f"$ {word}" if kind == "dollars" and word != "$" else _SHORTENED.get(word, word)
    if unit not in _UNITS:
        raise UnknownUnit(f"{word!r} is no unit")
    if _UNITS[unit][0] != kind:
        raise UnknownUnit(f"a figure of kind {kind} has no value in {word!r}")
    return unit


def _with_unit(number: str, unit: str) -> str:
    if unit.startswith("$"):
        return f"${number}{unit[1:]}"
    return f"{number} {unit}" if unit else number
