"""The verdict on a version in a stage of the ladder, and what a guard rail found: checks with their numbers."""

from __future__ import annotations

from datetime import date

from msgspec import Struct


class StageCheck(Struct, frozen=True, kw_only=True):
    """One requirement: the measured value, the threshold it is held against, and both in a sentence.

    A check that could not be measured has no value, and has not passed.
    """

    name: str
    passed: bool
    sentence: str
    value: float | None = None
    threshold: float | None = None


class StageVerdict(Struct, frozen=True, kw_only=True):
    """The checks of a stage over `rows` recorded decisions on `first_day` to `last_day`; None without rows."""

    checks: list[StageCheck]
    rows: int
    first_day: date | None = None
    last_day: date | None = None

    @property
    def passed(self) -> bool:
        """Whether every check has passed; False without checks."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def failures(self) -> list[str]:
        """The sentences of the checks that have not passed."""
        return [check.sentence for check in self.checks if not check.passed]
