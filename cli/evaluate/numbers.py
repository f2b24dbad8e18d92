"""Texts of numbers to numbers, by the separators that a mapping gives.

A separator at a place where it does not belong makes a text no number: it is never removed.
"""

from __future__ import annotations

import re
from typing import Any, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Arrow = Any  # pyarrow's stubs do not know which array a compute function gives for which

# What a person types as one of these, a program may write as another one that looks the same.
_ALIKE: Final = ({" ", "\u00a0", "\u2009", "\u202f"}, {"'", "\u2019"})
_OF_SPREADSHEET: Final = r"E\+[0-9]+$"
"""The exponent as spreadsheets show it, with at most six digits before it. Other programs write every digit."""
_WITH_COMMA: Final = r"^[+-]?\d+(,\d+)+(\.\d*)?$"


def parse_numbers(texts: Arrow, decimal_separator: str = ".", thousands_separator: str = "") -> NDArray[np.float64]:
    """Return the numbers; NaN where a text is none, infinite where it is too large for a float.

    Thousands separators may be absent, or stand before every third digit.
    """
    decimal = re.escape(decimal_separator)
    number = rf"(\d+({decimal}\d*)?|{decimal}\d+)([eE][+-]?\d+)?"
    if thousands_separator:
        thousands = f"[{re.escape(''.join(sorted(_written_alike(thousands_separator))))}]"
        number += rf"|\d{{1,3}}({thousands}\d{{3}})+({decimal}\d*)?"
    texts = pc.if_else(pc.match_substring_regex(texts, f"^[+-]?({number})$"), texts, None)
    if (lost := have_lost_digits(texts)).any():
        texts = pc.if_else(pa.array(lost), None, texts)
    if thousands_separator:
        texts = pc.replace_substring_regex(texts, thousands, "")
    if decimal_separator != ".":
        texts = pc.replace_substring(texts, decimal_separator, ".")
    return cast(NDArray[np.float64], cast_where_possible(texts, pa.float64()).to_numpy(zero_copy_only=False))


def has_commas(texts: Arrow) -> NDArray[np.bool_]:
    """Return a mask of the texts that would be numbers if a comma separated decimals or thousands."""
    mask: Arrow = pc.match_substring_regex(texts, _WITH_COMMA)
    return cast(NDArray[np.bool_], mask.fill_null(False).to_numpy(zero_copy_only=False))


def have_lost_digits(texts: Arrow) -> NDArray[np.bool_]:
    """Return a mask of the texts such as 1.70929E+12, in which a spreadsheet shows fewer digits than the number has."""
    suspects: Arrow = pc.match_substring_regex(texts, _OF_SPREADSHEET)
    mask = cast(NDArray[np.bool_], suspects.fill_null(False).to_numpy(zero_copy_only=False)).copy()
    for position in np.flatnonzero(mask):
        digits, _, exponent = texts[int(position)].as_py().partition("E+")
        mask[position] = sum(map(str.isdecimal, digits)) <= int(exponent)
    return mask


def cast_where_possible(texts: Arrow, kind: pa.DataType) -> Arrow:
    """Arrow stops at the first text that it cannot read: null for those, by halves, and fast where there are none."""
    try:
        return texts.cast(kind)
    except pa.ArrowInvalid:
        if len(texts) == 1:
            return pa.array([None], kind)
        middle = len(texts) // 2
        return pa.concat_arrays([cast_where_possible(part, kind) for part in (texts[:middle], texts[middle:])])


def _written_alike(character: str) -> set[str]:
    return next((alike for alike in _ALIKE if character in alike), {character})
