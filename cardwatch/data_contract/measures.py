"""The values that the contract limits, measured on the profile of a day.

Each value has a subject (check, column, channel), and what its noise follows from: one standard error of the value on a
day of that size. Records of a card are not independent, so limits take several standard errors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np

from cardwatch.data_contract.baseline import Baseline, CodeShare
from cardwatch.data_contract.finding import ALL_RECORDS, Check
from cardwatch.data_contract.profile import QUARTERS, STEPS_PER_OCTAVE, ChannelProfile, DayProfile

MINIMUM_ROWS: Final = 30
"""Minimum number of records of a channel (for keys: with a key) on a day. With fewer, nothing is measured on them."""
CERTAIN_ROWS: Final = 20.0
"""Expected number of records from which their absence means something: by chance it has a probability of exp(-20)."""
VANISHED_PART: Final = 0.1
"""A code, or an hour, with less than this part of its least expected records has vanished."""
CONCENTRATED: Final = 0.2
"""Minimum concentration of the times of a channel, 0 (uniform) to 1 (one moment). Below, a mean hour says little."""
MAXIMUM_CODES: Final = 20
"""Maximum number of codes that a finding names."""
_OCTAVE: Final = math.log(2.0)
_HOURS_PER_RADIAN: Final = 12.0 / math.pi


class Subject(NamedTuple):
    """The check that a value is measured for, and the column and channel that it is measured on."""

    check: Check
    column: str
    channel: str | None = None


class Measure(NamedTuple):
    """A value in the unit of its check, of `rows` records, and the codes that it is about.

    `deviation` is the standard deviation of a single record, None for counts and shares: theirs follows from what is
    expected.
    """

    value: float
    rows: int
    deviation: float | None = None
    codes: tuple[str, ...] = ()

    def noise(self, check: Check, expected: float) -> float:
        """Return one standard error of the value where `expected` is right.

        That of a share is binomial, with a half added to both outcomes (Agresti and Coull, The American Statistician,
        1998); that of the logarithm of a count is Poisson's.
        """
        if self.deviation is not None:
            return self.deviation / math.sqrt(self.rows)
        if check is Check.VOLUME:
            return math.exp(-expected / 2.0)
        smoothed = (min(max(expected, 0.0), 1.0) * self.rows + 0.5) / (self.rows + 1.0)
        return math.sqrt(smoothed * (1.0 - smoothed) / max(self.rows, 1))


def measures(profile: DayProfile, baseline: Baseline, *, in_reference: bool = False) -> dict[Subject, Measure]:
    """Return everything that can be measured on a day, by its subject.

    `in_reference`: the day is one of those of the baseline, so a code that no other day has was not seen before it.
    """
    found: dict[Subject, Measure] = {
        Subject(Check.VOLUME, ALL_RECORDS): _volume(profile.rows),
        Subject(Check.REPEATED_RECORDS, "transaction_id"): _share(profile.repeated, profile.rows),
        Subject(Check.COPIED_RECORDS, ALL_RECORDS): _share(profile.copied, profile.rows),
    }
    for name in sorted(baseline.amounts.keys() | profile.channels.keys()):
        channel = profile.channels.get(name)
        found[Subject(Check.VOLUME, ALL_RECORDS, name)] = _volume(channel.rows if channel else 0)
        if channel is not None and channel.rows >= MINIMUM_ROWS:
            found.update(_of_channel(name, channel, baseline))
    for column, counts in profile.codes.items():
        found.update(_of_codes(column, counts, baseline.codes[column], seen_days=1 if in_reference else 0))
    if profile.keys is not None:
        for column, keys in profile.keys.items():
            if keys.rows >= MINIMUM_ROWS:
                found[Subject(Check.UNKNOWN_KEYS, column)] = _share(keys.unknown, keys.rows)
    if profile.rows >= MINIMUM_ROWS:
        found[Subject(Check.SILENT_HOURS, "occurred_at")] = _silent_hours(profile, baseline)
    return found


def _volume(rows: int) -> Measure:
    """The logarithm of the number of records."""
    return Measure(math.log(rows + 1.0), rows)


def _share(count: int, rows: int) -> Measure:
    return Measure(count / max(rows, 1), rows)


def _of_channel(name: str, channel: ChannelProfile, baseline: Baseline) -> Iterator[tuple[Subject, Measure]]:
    for column, missing in channel.missing.items():
        yield Subject(Check.NULL_SHARE, column, name), _share(missing, channel.rows)
    steps = np.array(list(channel.amounts), np.float64)
    weights = np.array(list(channel.amounts.values()), np.float64) / channel.rows
    logarithms = (steps + 0.5) * _OCTAVE / STEPS_PER_OCTAVE
    mean = float(weights @ logarithms)
    deviation = math.sqrt(float(weights @ (logarithms - mean) ** 2))
    yield Subject(Check.AMOUNT_SCALE, "amount_minor", name), Measure(mean, channel.rows, deviation)
    if (usual := baseline.amounts.get(name)) is not None:
        outside = sum(n for step, n in channel.amounts.items() if not usual.lowest <= step <= usual.highest)
        yield Subject(Check.AMOUNT_RANGE, "amount_minor", name), _share(outside, channel.rows)
    yield (
        Subject(Check.LOG_ORDER, "occurred_at", name),
        Measure(channel.displaced_ms / channel.rows / 3_600_000.0, channel.rows, 0.0),
    )
    if (clock := _mean_hour(channel)) is not None:
        yield Subject(Check.CLOCK, "occurred_at", name), clock


def _mean_hour(channel: ChannelProfile) -> Measure | None:
    """The circular mean of the hour of the day (Mardia and Jupp, Directional Statistics, 2000, section 2.2)."""
    angles = (np.arange(QUARTERS) + 0.5) * 2.0 * math.pi / QUARTERS
    weights = np.array(channel.quarters, np.float64) / channel.rows
    cosine, sine = float(weights @ np.cos(angles)), float(weights @ np.sin(angles))
    length = math.hypot(cosine, sine)
    if length < CONCENTRATED:
        return None
    deviation = math.sqrt(max(1.0 - length, 0.0)) / length * _HOURS_PER_RADIAN
    return Measure(math.atan2(sine, cosine) * _HOURS_PER_RADIAN % 24.0, channel.rows, deviation)


def _of_codes(
    column: str, counts: Mapping[str, int], expected: Mapping[str, CodeShare], *, seen_days: int
) -> Iterator[tuple[Subject, Measure]]:
    rows = sum(counts.values())
    if rows < MINIMUM_ROWS:
        return
    unseen = [code for code in counts if code not in expected or expected[code].days <= seen_days]
    yield (
        Subject(Check.UNSEEN_CODES, column),
        _share(sum(counts[code] for code in unseen), rows)._replace(codes=_most(unseen, counts)),
    )
    missed = {
        code: known.share
        for code, known in expected.items()
        if known.least * rows >= CERTAIN_ROWS and counts.get(code, 0) < VANISHED_PART * known.least * rows
    }
    yield Subject(Check.VANISHED_CODES, column), Measure(math.fsum(missed.values()), rows, 0.0, _most(missed, missed))
    if expected:
        differences = [
            abs(counts.get(code, 0) / rows - (expected[code].share if code in expected else 0.0))
            for code in counts.keys() | expected.keys()
        ]
        yield (
            Subject(Check.CODE_MIX, column),
            Measure(math.fsum(differences) / 2.0, rows, math.sqrt(len(expected)) / 2.0),
        )


def _silent_hours(profile: DayProfile, baseline: Baseline) -> Measure:
    """Usual share of the records in the hours of the day that have almost none."""
    quarters = np.sum([channel.quarters for channel in profile.channels.values()], axis=0)
    rows = quarters.reshape(24, 4).sum(axis=1)
    expected = np.array(baseline.hours) * profile.rows
    silent = (expected >= CERTAIN_ROWS) & (rows < VANISHED_PART * expected)
    return Measure(float(np.array(baseline.hours)[silent].sum()), profile.rows, 0.0)


def _most(codes: Mapping[str, object] | list[str], weights: Mapping[str, float]) -> tuple[str, ...]:
    return tuple(sorted(sorted(codes, key=lambda code: (-weights[code], code))[:MAXIMUM_CODES]))
