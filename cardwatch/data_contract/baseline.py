"""Distributions of codes and amounts over the days of a reference, with which those of a day are compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from cardwatch.data_contract.profile import STEPS_PER_OCTAVE, DayProfile
from cardwatch.data_contract.records import CODE_COLUMNS

USUAL_SHARE: Final = 0.998
"""Share of the amounts of a channel that are in its usual range, before the range is widened."""
_WIDENED_STEPS: Final = STEPS_PER_OCTAVE
"""The usual range of amounts is widened by a factor of two on both sides: prices rise."""


class CodeShare(Struct, frozen=True, kw_only=True):
    """Share of the records (0..1) that have a code: of all days together, and on the day with the fewest.

    `days` counts the days on which the code was seen.
    """

    share: float
    least: float
    days: int


class AmountSteps(Struct, frozen=True, kw_only=True):
    """The usual range of amounts, in steps of `amount_step`; both ends belong to it."""

    lowest: int
    highest: int


class Baseline(Struct, frozen=True, kw_only=True):
    """Distributions over all days of the reference together.

    `codes` has a `CodeShare` per code and column of `CODE_COLUMNS`, `amounts` the usual amounts per channel. `hours` is
    the share of the records in each hour of the day (UTC, 24 values), `labels_per_day` the mean number of labels
    observed on a day, None if unknown.
    """

    codes: dict[str, dict[str, CodeShare]]
    amounts: dict[str, AmountSteps]
    hours: list[float]
    labels_per_day: float | None


def learn_baseline(profiles: Sequence[DayProfile]) -> Baseline:
    """Return the baseline of at least one day."""
    channels = sorted({name for profile in profiles for name in profile.channels})
    quarters = [channel.quarters for profile in profiles for channel in profile.channels.values()]
    labels = [profile.labels for profile in profiles if profile.labels is not None]
    return Baseline(
        codes={column: _code_shares(column, profiles) for column in CODE_COLUMNS},
        amounts={name: _usual_amounts(name, profiles) for name in channels},
        hours=_shares(np.sum(quarters, axis=0).reshape(24, 4).sum(axis=1).tolist() if quarters else [0] * 24),
        labels_per_day=float(np.mean(labels)) if labels else None,
    )


def _code_shares(column: str, profiles: Sequence[DayProfile]) -> dict[str, CodeShare]:
    rows = [sum(profile.codes[column].values()) for profile in profiles]
    total: Counter[str] = Counter()
    for profile in profiles:
        total.update(profile.codes[column])
    return {
        code: CodeShare(
            share=count / sum(rows),
            least=min(
                profile.codes[column].get(code, 0) / max(n, 1) for profile, n in zip(profiles, rows, strict=True)
            ),
            days=sum(code in profile.codes[column] for profile in profiles),
        )
        for code, count in sorted(total.items())
    }


def _usual_amounts(channel: str, profiles: Sequence[DayProfile]) -> AmountSteps:
    counts: Counter[int] = Counter()
    for profile in profiles:
        if channel in profile.channels:
            counts.update(profile.channels[channel].amounts)
    steps = sorted(counts)
    below = np.cumsum([counts[step] for step in steps])
    tail = (1.0 - USUAL_SHARE) / 2.0 * below[-1]
    lowest = steps[int(np.searchsorted(below, tail, side="right"))]
    highest = steps[int(np.searchsorted(below, below[-1] - tail, side="left"))]
    return AmountSteps(lowest=lowest - _WIDENED_STEPS, highest=highest + _WIDENED_STEPS)


def _shares(counts: Sequence[int]) -> list[float]:
    total = max(sum(counts), 1)
    return [count / total for count in counts]
