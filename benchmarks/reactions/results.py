"""The results of the experiment, and their table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from benchmarks.reactions.experiment import WEEKS_AFTER, WEEKS_BEFORE, Arm, Course, per_day, ratio
from benchmarks.world_means import estimate
from infra.aws.markdown_tables import table

_BEFORE: Final = slice(0, WEEKS_BEFORE)
_AFTER: Final = slice(WEEKS_BEFORE, WEEKS_BEFORE + WEEKS_AFTER)
_PERIODS: Final = (
    ("before the retraining", _BEFORE, True),
    ("after it", _AFTER, True),
    ("the same weeks without it", _AFTER, False),
)
_HEAD: Final = (
    "weeks",
    "EUR a day, no reaction",
    "EUR a day, reaction",
    "ratio",
    "declined, no reaction",
    "declined, reaction",
)
_MINOR: Final = 100.0


class ReactionResults(Struct, frozen=True, kw_only=True):
    """The courses of all arms and worlds, and the settings that they share."""

    cards: int
    fraud_share: float
    budget: float
    courses: list[Course]


def markdown(results: ReactionResults) -> str:
    """Return the table of the documentation: fraud approved per day in euros, and the share of fraud declined."""
    rows = []
    for name, weeks, retrains in _PERIODS:
        steady, reacting = (Arm(reacts=reacts, retrains=retrains) for reacts in (False, True))
        approved = [per_day(results.courses, arm, weeks, "approved_minor") for arm in (steady, reacting)]
        shares = [_share_declined(results.courses, arm, weeks) for arm in (steady, reacting)]
        rows.append(
            (
                name,
                *(estimate([minor / _MINOR for minor in values]).shown(",.0f") for values in approved),
                ratio(approved[1], approved[0]).shown(".2f"),
                *(estimate(values).shown(".3f") for values in shares),
            )
        )
    return table(_HEAD, rows)


def _share_declined(courses: Sequence[Course], arm: Arm, weeks: slice) -> list[float]:
    frauds, declined = (per_day(courses, arm, weeks, field) for field in ("frauds", "declined_frauds"))
    return [part / whole for part, whole in zip(declined, frauds, strict=True)]
