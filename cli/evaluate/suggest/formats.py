"""In which format the values of a column are written: times and numbers."""

from __future__ import annotations

import re
from itertools import product
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from cli.evaluate.mapping import Amount, Time
from cli.evaluate.numbers import parse_numbers
from cli.evaluate.parsing import is_null, parse_amounts, parse_times
from cli.evaluate.suggest.sample import Texts, distinct
from cli.evaluate.thousands import looks_like_thousands

FITS: Final = 0.98
"""The share of a column's values that a format has to read: a few faults of the data do not rule it out."""

_DATES: Final = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%y",
                 "%d/%m/%y", "%m/%d/%y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%Y%m%d")  # fmt: skip
_CLOCKS: Final = (" %H:%M:%S", " %H:%M", "", " %H:%M:%S.%f", " %I:%M:%S %p", " %I:%M %p", "T%H:%M:%S", "%H%M%S")
_FEW: Final = 20
"""As many values rule out nearly all formats, which is faster than to try each on all."""
CLOCK: Final = re.compile(r"\d{1,2}:\d\d(:\d\d)?")
_SPREADSHEET_DAYS: Final = (36_526, 73_050)
"""The first days of 2000 and 2100."""
SIGNS: Final = "$€£¥₹"
_SEPARATORS: Final = ((".", ""), (",", ""), (".", ","), (",", "."), (",", " "), (".", "'"))


class TimeFormat(NamedTuple):
    """A format that fits. `doubt`: what cannot be told from the values."""

    format: str
    has_clock: bool
    doubt: str = ""


def time_format(texts: Texts) -> TimeFormat | None:
    """Return the format of a column of times, or None if it holds none."""
    values = distinct(texts)
    if not values:
        return None
    if _reads(values, Time(column="c")):
        return TimeFormat("iso", any(":" in value for value in values))
    for kind, least in (("epoch_s", 9e8), ("epoch_ms", 9e11), ("epoch_us", 9e14)):  # from 1998 on
        numbers = parse_numbers(_array(values))
        if np.mean((numbers > least) & (numbers < 5 * least)) >= FITS:
            return TimeFormat(kind, has_clock=True)
    fitting = [
        date + clock for date, clock in product(_DATES, _CLOCKS) if _reads(values[:_FEW], _pattern(date + clock))
    ]
    fitting = [pattern for pattern in fitting if _reads(values, _pattern(pattern))]
    if not fitting:
        return None
    chosen = fitting[0]
    other = next((each for each in fitting[1:] if each[:2] != chosen[:2]), None)
    doubt = f"no day is above 12 so far, so it may be {other} too: check" if other and chosen[:2] == "%d" else ""
    return TimeFormat(chosen, "%H" in chosen or "%I" in chosen, doubt)


def joined_format(first: str, clock_texts: Texts) -> str | None:
    """Return the format of a date by `first` and a time of day in another column."""
    values = distinct(clock_texts)
    if not values or not all(CLOCK.fullmatch(value) for value in values):
        return None
    date = "%Y-%m-%d" if first == "iso" else first
    return f"{date} %H:%M:%S" if all(value.count(":") == 2 for value in values) else f"{date} %H:%M"


def amount_format(texts: Texts) -> dict[str, str] | None:
    """Return the keys of an amount's mapping that differ from the default, or None if the column holds no amounts."""
    values = distinct(texts)
    signs = "".join(sign for sign in SIGNS if any(sign in value for value in values))
    strip = signs + (" " if signs and any(" " in value for value in values) else "")
    best: tuple[float, dict[str, str]] = (0.0, {})
    thousand_like = [sign for sign in ".," if _only_thousands(values, sign)]
    for decimal, thousands in _SEPARATORS:
        if decimal in thousand_like:
            continue
        spec = Amount(column="c", decimal_separator=decimal, thousands_separator=thousands, strip=strip,
                      negative="leave_out")  # fmt: skip
        share = _share(values, lambda array, refuse, spec=spec: parse_amounts(array, refuse, spec))
        if share > best[0]:
            best = share, _amount_keys(decimal, thousands, strip)
    if best[0] < FITS:
        return None
    negative = any(value.lstrip(strip).startswith("-") for value in values)
    return best[1] | ({"negative": "leave_out"} if negative else {})


def degrees_separator(texts: Texts, bound: int) -> str | None:
    """Return what separates the decimals of degrees, or None if the column holds none."""
    for separator in (".", ","):
        numbers = parse_numbers(texts, separator)
        known = ~is_null(texts)
        if known.any() and np.mean(np.abs(numbers[known]) <= bound) == 1:
            return separator
    return None


def is_count(texts: Texts) -> bool:
    """Return whether the values are whole numbers from 0 on that never decrease, as steps of a simulation are."""
    numbers = parse_numbers(texts)
    return bool(np.all(numbers >= 0) and np.all(numbers == np.rint(numbers)) and np.all(np.diff(numbers) >= 0))


def is_day_of_spreadsheet(texts: Texts) -> bool:
    """Return whether the values are days from 2000 to 2100, counted from 30 December 1899 as spreadsheets do."""
    numbers = parse_numbers(texts)
    return bool(np.all((numbers >= _SPREADSHEET_DAYS[0]) & (numbers < _SPREADSHEET_DAYS[1])))


def _only_thousands(values: list[str], separator: str) -> bool:
    grouped, others = looks_like_thousands(_array(values), separator)
    return grouped > 0 and others == 0


def _amount_keys(decimal: str, thousands: str, strip: str) -> dict[str, str]:
    keys = {"decimal_separator": decimal} if decimal != "." else {}
    if thousands:
        keys["thousands_separator"] = thousands
    return keys | ({"strip": strip} if strip else {})


def _pattern(pattern: str) -> Time:
    return Time(column="c", format=pattern)


def _reads(values: list[str], spec: Time) -> bool:
    return _share(values, lambda array, refuse: parse_times(array, refuse, spec)) >= FITS


def _share(values: list[str], parse: Any) -> float:
    """The share of values that a parser does not refuse."""
    bad = np.zeros(len(values), np.bool_)

    def refuse(mask: Any, _reason: str) -> None:
        np.logical_or(bad, mask, out=bad)

    parse(_array(values), refuse)
    return 1 - float(np.mean(bad)) if len(values) else 0.0


def _array(values: list[str]) -> Texts:
    return pa.array(values, pa.string())
