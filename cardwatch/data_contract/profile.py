"""The profile of a day: counts that describe its records, whatever is expected of them.

Everything is counted in integers, so that the order of the records has no influence. A million records take about two
seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.data_contract.records import (
    CHANNEL,
    CODE_COLUMNS,
    KEY_COLUMNS,
    OPTIONAL_COLUMNS,
    CodeColumn,
    DayRecords,
    Hashes,
)

QUARTERS: Final = 96
"""Quarters of an hour in a day, the resolution of the clock."""
STEPS_PER_OCTAVE: Final = 8
"""Resolution of amounts: a step is a factor of 1.09."""
NEIGHBOURS: Final = 5
"""Records before and after one in the log with which its time is compared."""
_QUARTER_MS: Final = 900_000
_DAY_MS: Final = QUARTERS * _QUARTER_MS

KnownKeys = Mapping[str, Hashes]
"""Per column of `KEY_COLUMNS`, the identity hashes that were seen on earlier days, sorted and distinct."""


class ChannelProfile(Struct, frozen=True, kw_only=True):
    """Counts of one channel's records.

    `missing` counts the missing values per optional column. `amounts` counts amounts by step, see `amount_step`;
    `quarters` counts the records by quarter of an hour, UTC. `displaced_ms` is the sum of the distances between the
    time of a record and the median time of its neighbours in the log.
    """

    rows: int
    missing: dict[str, int]
    amounts: dict[int, int]
    quarters: list[int]
    displaced_ms: int


class KeyCount(Struct, frozen=True, kw_only=True):
    """Number of records with a key, and of those whose key was not known."""

    rows: int
    unknown: int


class DayProfile(Struct, frozen=True, kw_only=True):
    """Counts of one day's records.

    `codes` counts the records by code, per column of `CODE_COLUMNS`. `keys` is None where no earlier day was given.
    `repeated` counts records with a transaction id that the day has already, `copied` further transactions of the same
    card, merchant, amount and time under another id. `labels` is the number of labels observed on the day, None if
    unknown.
    """

    day: date
    rows: int
    channels: dict[str, ChannelProfile]
    codes: dict[str, dict[str, int]]
    keys: dict[str, KeyCount] | None
    repeated: int
    copied: int
    labels: int | None


def profile_day(
    day: date, records: DayRecords, *, known: KnownKeys | None = None, labels: int | None = None
) -> DayProfile:
    """Return the profile of the records of `day`. `known` are the keys of earlier days, `labels` those observed."""
    channels = records.codes[CHANNEL]
    displaced_ms = _displaced_ms(records)
    return DayProfile(
        day=day,
        rows=len(records),
        channels={
            name: _channel_profile(records, np.flatnonzero(channels.index == position), displaced_ms)
            for position, name in enumerate(channels.values)
            if (channels.index == position).any()
        },
        codes={column: _count_codes(records.codes[column]) for column in CODE_COLUMNS},
        keys=None if known is None else {column: _count_keys(records.keys[column], known[column]) for column in known},
        repeated=len(records) - len(distinct_hashes(records.transaction_ids)),
        copied=_copied(records),
        labels=labels,
    )


def distinct_keys(days: Iterable[DayRecords]) -> dict[str, Hashes]:
    """Return the known keys after these days."""
    of_days = [{column: distinct_hashes(records.keys[column]) for column in KEY_COLUMNS} for records in days]
    return union_of_keys(of_days)


def union_of_keys(parts: Iterable[KnownKeys]) -> dict[str, Hashes]:
    """Return the known keys of all parts together."""
    listed = [dict.fromkeys(KEY_COLUMNS, np.zeros(0, np.uint64)), *parts]
    return {column: distinct_hashes(np.concatenate([part[column] for part in listed])) for column in KEY_COLUMNS}


def amount_step(amount_minor: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the step of amounts on a logarithmic scale, int64 [n]; amounts below 1 count as 1, which is step 0."""
    steps: NDArray[np.int64] = np.floor(np.log2(np.maximum(amount_minor, 1)) * STEPS_PER_OCTAVE).astype(np.int64)
    return steps


def _channel_profile(records: DayRecords, rows: NDArray[np.int64], displaced_ms: NDArray[np.int64]) -> ChannelProfile:
    steps, counts = np.unique(amount_step(records.amount_minor[rows]), return_counts=True)
    quarters = records.occurred_at_ms[rows] % _DAY_MS // _QUARTER_MS
    return ChannelProfile(
        rows=len(rows),
        missing={column: int(np.count_nonzero(records.missing[column][rows])) for column in OPTIONAL_COLUMNS},
        amounts=dict(zip(steps.tolist(), counts.tolist(), strict=True)),
        quarters=np.bincount(quarters, minlength=QUARTERS).tolist(),
        displaced_ms=int(displaced_ms[rows].sum()),
    )


def _count_codes(column: CodeColumn) -> dict[str, int]:
    counts = np.bincount(column.index[column.index >= 0], minlength=len(column.values)).tolist()
    return {code: count for code, count in sorted(zip(column.values, counts, strict=True)) if count}


def _count_keys(keys: Hashes, known: Hashes) -> KeyCount:
    present = keys[keys != 0]
    return KeyCount(rows=len(present), unknown=int(np.count_nonzero(~np.isin(present, known))))


def _copied(records: DayRecords) -> int:
    """Return the number of transactions with the same card, merchant, amount and time as another transaction."""
    _, first = np.unique(records.transaction_ids, return_index=True)
    parts: list[NDArray[Any]] = [
        records.keys["card_id"][first],
        records.keys["merchant_id"][first],
        records.amount_minor[first].astype(np.uint64),
        records.occurred_at_ms[first].astype(np.uint64),
    ]
    mixed = np.zeros(len(first), np.uint64)
    for part in parts:
        mixed = _mix(mixed ^ part)
    return len(mixed) - len(distinct_hashes(mixed))


def distinct_hashes(hashes: Hashes) -> Hashes:
    """Return the distinct hashes, sorted. `np.unique` takes five times as long on 64-bit numbers."""
    ordered = np.sort(hashes)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if len(ordered) else ordered


def _mix(values: Hashes) -> Hashes:
    """Return a 64-bit hash of 64-bit numbers: the finaliser of splitmix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _displaced_ms(records: DayRecords) -> NDArray[np.int64]:
    """Return how far the time of each record lies from the median of its neighbours in the log, int64 [n]."""
    displaced = np.zeros(len(records), np.int64)
    width = 2 * NEIGHBOURS + 1
    in_log = np.lexsort((records.log_offsets, records.partitions))
    partitions = records.partitions[in_log]
    for rows in np.split(in_log, np.flatnonzero(np.diff(partitions)) + 1):
        if len(rows) < width:
            continue
        times = records.occurred_at_ms[rows]
        windows = np.lib.stride_tricks.sliding_window_view(times, width)
        medians = np.partition(windows, NEIGHBOURS, axis=1)[:, NEIGHBOURS]
        displaced[rows[NEIGHBOURS:-NEIGHBOURS]] = np.abs(times[NEIGHBOURS:-NEIGHBOURS] - medians)
    return displaced
