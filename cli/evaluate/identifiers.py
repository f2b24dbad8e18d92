"""Columns of identifiers: opaque tokens, among which no card number may be."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cardwatch.card_numbers import digits_of, holds_number_of_brand, is_number_of_card
from cardwatch.errors import MappingError
from cli.evaluate.mapping import Identifier
from cli.evaluate.parsing import LOST_DIGITS, Coded, Mask, Refuse, Texts, as_mask, where

JOINT: Final = "|"
"""Separator between the joined columns of an identifier. A value that contains it is refused, because two identifiers
could become equal."""
JOINT_REFUSED: Final = f"holds {JOINT!r} in one of its columns, which are joined with it"

_MAX_LENGTH: Final = 64
_REPLACE: Final = "looks like a card number; put an opaque token in its place"
_CARD_NUMBER: Final = f"{_REPLACE}, or set tokenize"
_NUMBER_OF_BRAND: Final = f"{_REPLACE}, or set not_card_numbers if the column holds other long numbers"
_CONTROL: Final = r"[\x00-\x1f\x7f]"
"""The contract of transactions refuses these too."""
_EXPONENT: Final = r"^[+-]?(\d+[.,]\d+[eE][+-]?\d+|\d+[eE]\+\d+|\d{13,}[eE]-?\d+)$"
_SUSPECT: Final = (
    r"^[^A-Za-z]{13,}$|^[^A-Za-z]+[eE]\+?\d+$"
    r"|(^|[^A-Za-z0-9])[0-9]([^A-Za-z0-9]{0,3}[0-9]){12,}([^A-Za-z0-9]|$)"
)
"""Candidates for a card number: long texts without a letter, the exponent form, and texts with such a part."""
# Only this run knows the key, so nobody can find a card number by trying all of them.
_KEY: Final = secrets.token_bytes(32)


def holds_joint(columns: list[Texts]) -> Mask:
    """Return a mask of the rows in which one of several columns holds `JOINT`."""
    masks: list[Mask] = [as_mask(pc.match_substring(texts, JOINT)) for texts in columns]
    holds: Mask = np.logical_or.reduce(masks)
    return holds


def parse_identifiers(texts: Texts, refuse: Refuse, spec: Identifier, *, is_card: bool = False) -> Coded:
    """Opaque tokens of at most 64 characters. Card numbers are refused, or become tokens if the mapping says so.

    A card's identifier is refused if it can be a card number at all; any other one only with the prefix and the length
    of a brand, because one long number in ten has a valid check digit.
    """
    coded = texts.dictionary_encode()
    names = coded.dictionary
    too_long = pc.greater(pc.utf8_length(names), pa.scalar(_MAX_LENGTH))
    refuse(where(coded, too_long), "is longer than 64 characters")
    refuse(where(coded, pc.match_substring_regex(names, _CONTROL)), "contains a control character")
    suspects = pc.match_substring_regex(names, _SUSPECT).to_numpy(zero_copy_only=False)
    suspects = suspects & ~too_long.to_numpy(zero_copy_only=False)  # which are refused already
    if not spec.tokenize and not spec.not_card_numbers:
        is_number = is_number_of_card if is_card else holds_number_of_brand
        refuse(where(coded, _mask(names, suspects, is_number)), _CARD_NUMBER if is_card else _NUMBER_OF_BRAND)
    refuse(where(coded, pc.match_substring_regex(names, _EXPONENT)), LOST_DIGITS)
    if not spec.tokenize:
        return coded
    tokens = pa.array([_token(name) for name in names.to_pylist()], pa.string())
    # One number written in two ways is one card, so the dictionary is rebuilt.
    return pa.DictionaryArray.from_arrays(coded.indices, tokens).cast(pa.string()).dictionary_encode()


def check_one_form(path: Path, column: str, names: Iterable[str | None]) -> None:
    """Raise `MappingError` if a number is written both as 596 and as 596.0: its rows would be those of two cards."""
    known = set(names)
    twice = next((name for name in known if name and name.endswith(".0") and name[:-2] in known), None)
    if twice is not None:
        raise MappingError(
            f"{path}: column {column}: {twice[:-2]!r} is written as {twice!r} too, as programs do after a missing"
            " value; export the column as text"
        )


def _mask(names: Any, suspects: NDArray[np.bool_], is_number: Callable[[str], bool]) -> Any:
    found = suspects.copy()
    for position in np.flatnonzero(suspects):
        found[position] = is_number(names[int(position)].as_py())
    return pa.array(found, pa.bool_())


def _token(text: str) -> str:
    digits = digits_of(text) or text
    return "card-" + hashlib.blake2b(digits.encode(), key=_KEY, digest_size=16).hexdigest()
