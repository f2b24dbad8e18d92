"""A check over a whole column of amounts: whether what the mapping takes for decimals are thousands.

An amount written 1.234 can be either. A file in which every amount with a point has three digits after it is refused,
unless the mapping names the separator: thousands taken for decimals would be read as a thousandth.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pyarrow.compute as pc

from cardwatch.errors import MappingError
from cli.evaluate.mapping import Amount

Texts = Any  # a pa.StringArray
THOUSANDS: Final = 3
"""Digits of a group of thousands."""


def looks_like_thousands(texts: Texts, separator: str) -> tuple[int, int]:
    """Return the number of texts in which `separator` stands before three digits as thousands do, and before others."""
    sign = re.escape(separator)
    grouped = _count(texts, rf"^[^0-9]*[1-9][0-9]{{0,2}}{sign}[0-9]{{3}}[^0-9]*$")
    return grouped, _count(texts, rf"{sign}[0-9]") - grouped


class ThousandsCheck:
    """Counts over the batches of a file how its amounts are written, if `spec` names no separator.

    A file of numbers rather than texts is no `is_text`, and needs no separator.
    """

    def __init__(self, spec: Amount, *, is_text: bool) -> None:
        self._column = spec.column
        is_said = spec.decimal_separator is not None or spec.thousands_separator != ""
        self._is_open = is_text and not is_said and spec.unit == "major" and spec.digits < THOUSANDS
        self._grouped = self._others = 0

    def add(self, texts: Texts) -> None:
        """Count the amounts of a batch."""
        if self._is_open:
            grouped, others = looks_like_thousands(texts, ".")
            self._grouped += grouped
            self._others += others

    def require_decimals(self, path: Path) -> None:
        """Raise `MappingError` if every amount with a point may be one of thousands."""
        if self._grouped and not self._others:
            raise MappingError(
                f"{path}: column {self._column}: each of the {self._grouped:,} amounts with a point has three digits"
                " after it, so that it may separate thousands. Say which under transaction.amount:"
                " decimal_separator: '.' for decimals, or thousands_separator: '.' and decimal_separator: ','"
            )


def _count(texts: Texts, pattern: str) -> int:
    found: Any = pc.match_substring_regex(texts, pattern)
    return int(found.true_count)
