"""The data contract: what the days of a champion's training reference let us expect of a day, and what breaks it.

A value of a day is right within the range of the reference days, widened on both sides by the stated threshold of its
check and by the noise of the day. The range is that of the middle 80 % of the days: it contains every weekday and day
of the month, and a single bad day of the reference does not widen it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct

from cardwatch.data_contract.baseline import Baseline, learn_baseline
from cardwatch.data_contract.finding import Check, DataFinding
from cardwatch.data_contract.labels import find_silent_labels
from cardwatch.data_contract.measures import CERTAIN_ROWS, Measure, Subject, measures
from cardwatch.data_contract.profile import DayProfile
from cardwatch.data_contract.sentences import sentence_of
from cardwatch.data_contract.thresholds import NOISES, RISES_ONLY, threshold_of
from cardwatch.errors import CorruptModel

CONTRACT_FILE: Final = "data_contract.json"
"""Name of the contract among the files of a model."""
MINIMUM_DAYS: Final = 14
"""Minimum number of days of a contract: two of each weekday."""
MAXIMUM_DAYS: Final = 28
RANGE_QUANTILES: Final = (0.1, 0.9)
_HOURS: Final = 24.0


class Limit(Struct, frozen=True, kw_only=True):
    """Range of a value on the days of the reference, and the stated threshold by which a day must leave it.

    `low` and `high` are quantiles of the days. For the clock they are the hours of a day; `low` may be above `high`
    where the range includes midnight.
    """

    check: str
    column: str
    channel: str | None
    low: float
    high: float
    threshold: float


class DataContract(Struct, frozen=True, kw_only=True):
    """Expectations of a day. `days` are those of the reference; the limits are sorted by check, column and channel."""

    days: list[date]
    limits: list[Limit]
    baseline: Baseline


def learn_contract(profiles: Sequence[DayProfile]) -> DataContract:
    """Return the contract of the days of a reference, in any order.

    Values that were measured on fewer than half of the days, such as those of a rare channel, get no limit. Raises
    `ValueError` for fewer than `MINIMUM_DAYS` days.
    """
    if len(profiles) < MINIMUM_DAYS:
        raise ValueError(f"a contract needs {MINIMUM_DAYS} days, not {len(profiles)}")
    profiles = sorted(profiles, key=lambda profile: profile.day)
    baseline = learn_baseline(profiles)
    values: dict[Subject, list[float]] = {}
    for profile in profiles:
        for subject, measure in measures(profile, baseline, in_reference=True).items():
            values.setdefault(subject, []).append(measure.value)
    with_keys = sum(profile.keys is not None for profile in profiles)
    return DataContract(
        days=[profile.day for profile in profiles],
        limits=[
            _limit(subject, measured)
            for subject, measured in sorted(values.items(), key=lambda item: _order(item[0]))
            if 2 * len(measured) >= (with_keys if subject.check is Check.UNKNOWN_KEYS else len(profiles))
        ],
        baseline=baseline,
    )


def check_day(
    contract: DataContract,
    profile: DayProfile,
    *,
    accepted: Sequence[DataFinding] = (),
    labels_before: Sequence[int] = (),
) -> list[DataFinding]:
    """Return what is wrong with a day, most certain first; nothing for a day as the contract expects it.

    `accepted` are findings of days that were released by hand: a value near that of an accepted finding is right too.
    `labels_before` are the numbers of labels observed on the days before, newest first.
    """
    measured = measures(profile, contract.baseline)
    found: list[tuple[float, DataFinding]] = []
    for limit in contract.limits:
        subject = Subject(Check(limit.check), limit.column, limit.channel)
        if (measure := measured.get(subject)) is None or _means_little(measure, limit):
            continue
        excess = _excess(measure, limit)
        if excess > 1.0 and not any(_is_like(finding, subject, measure, limit) for finding in accepted):
            found.append((excess, _finding(profile.day, subject, measure, limit)))
    found.sort(key=lambda pair: (-pair[0], _order(pair[1])))
    silence = find_silent_labels(profile.day, profile.labels, labels_before, contract.baseline.labels_per_day)
    return [finding for _, finding in found] + ([silence] if silence else [])


def encode_contract(contract: DataContract) -> bytes:
    """Return the contract as JSON, for the files of a model: equal contracts give equal bytes."""
    return msgspec.json.format(msgspec.json.encode(contract))


def decode_contract(content: bytes) -> DataContract:
    """Return the contract of `encode_contract`. Raises `CorruptModel` for anything else."""
    try:
        contract = msgspec.json.decode(content, type=DataContract)
        for limit in contract.limits:
            Check(limit.check)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise CorruptModel(f"{CONTRACT_FILE} is not a data contract: {error}") from error
    return contract


def _limit(subject: Subject, values: Sequence[float]) -> Limit:
    if subject.check is Check.CLOCK:
        middle = _circular_middle(values)
        offsets = [_hours_between(middle, value) for value in values]
        low, high = ((middle + offset) % _HOURS for offset in np.quantile(offsets, RANGE_QUANTILES).tolist())
    else:
        low, high = np.quantile(values, RANGE_QUANTILES).tolist()
    return Limit(
        check=subject.check.value,
        column=subject.column,
        channel=subject.channel,
        low=low,
        high=high,
        threshold=threshold_of(subject.check, subject.channel),
    )


def _excess(measure: Measure, limit: Limit) -> float:
    """Return how far a value lies outside of the range, in parts of what is allowed: above 1 it is a finding."""
    expected = limit.low if measure.value < limit.low else limit.high
    allowed = limit.threshold + NOISES * measure.noise(Check(limit.check), expected)
    return _distance(measure.value, limit) / allowed


def _distance(value: float, limit: Limit) -> float:
    """Return how far a value lies outside of the range, 0 inside."""
    if limit.check == Check.CLOCK:
        if (value - limit.low) % _HOURS <= (limit.high - limit.low) % _HOURS:
            return 0.0
        return min(abs(_hours_between(value, limit.low)), abs(_hours_between(value, limit.high)))
    below = 0.0 if Check(limit.check) in RISES_ONLY else limit.low - value
    return max(below, value - limit.high, 0.0)


def _means_little(measure: Measure, limit: Limit) -> bool:
    """Whether a channel is so rare in the reference that a day with few of its records proves nothing."""
    if limit.check != Check.VOLUME or limit.channel is None:
        return False
    return measure.value < limit.low and float(np.expm1(limit.low)) < CERTAIN_ROWS


def _is_like(finding: DataFinding, subject: Subject, measure: Measure, limit: Limit) -> bool:
    """Whether a value is right because one like it was accepted: no further from that than a threshold."""
    if finding.subject != tuple(subject) or not set(measure.codes) <= set(finding.codes):
        return False
    difference = measure.value - finding.seen
    if limit.check == Check.CLOCK:
        difference = _hours_between(finding.seen, measure.value)
    return abs(difference) <= limit.threshold + NOISES * measure.noise(subject.check, finding.seen)


def _finding(day: date, subject: Subject, measure: Measure, limit: Limit) -> DataFinding:
    return DataFinding(
        check=subject.check.value,
        column=subject.column,
        channel=subject.channel,
        low=limit.low,
        high=limit.high,
        seen=measure.value,
        codes=list(measure.codes),
        day=day,
        since=day,
        affects_from=day,
        sentence=sentence_of(subject, measure, limit.low, limit.high),
    )


def _circular_middle(hours: Sequence[float]) -> float:
    angles = np.array(hours) * 2.0 * np.pi / _HOURS
    return float(np.arctan2(np.sin(angles).sum(), np.cos(angles).sum()) * _HOURS / (2.0 * np.pi) % _HOURS)


def _hours_between(start: float, end: float) -> float:
    """Return the hours from one hour of the day to another, -12 to 12."""
    return (end - start + 12.0) % _HOURS - 12.0


def _order(about: Subject | DataFinding) -> tuple[str, str, str]:
    return about.check, about.column, about.channel or ""
