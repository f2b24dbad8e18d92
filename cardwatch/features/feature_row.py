"""Positions in a feature row, which numba compiles as constants."""

from __future__ import annotations

from collections import namedtuple
from typing import Any, Final

from cardwatch.features.definitions import FEATURE_NAMES

_Columns = namedtuple("_Columns", FEATURE_NAMES)  # type: ignore[misc]

COLUMN: Final[Any] = _Columns(*range(len(FEATURE_NAMES)))
"""Index of each feature in the feature row. The ten features of the windows are adjacent, and so are those of the
channels and those of each section of the reference table, in the order of its values."""
