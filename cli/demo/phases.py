"""The phases of a demo: runs of live days on which nothing changed on our side."""

from __future__ import annotations

from datetime import date
from typing import Final

from msgspec import Struct

from cli.demo.outcomes import Quality

BEFORE: Final = "before"
AFTER: Final = "after"
SWAPPED: Final = "swapped"
"""Names of the phases: before the change, after it, and after the swap to a promoted model."""


class Phase(Struct, frozen=True, kw_only=True):
    """A run of days, both ends included, on which nothing changed on our side."""

    name: str
    first_day: date
    last_day: date
    quality: Quality
