"""Synthetic histories of any length, as Parquet in the archive's layout: for measuring, not for training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from adapters.archive.layout import SCHEMAS
from benchmarks.transactions import FIRST_DAY
from cardwatch.features.columns import CHANNEL_CODES
from cardwatch.features.reference_table import DAY_MS
from cardwatch.topics import TRANSACTIONS

CATEGORIES = ("5411", "5812", "5541", "5999", "4111", "7995", "6011", "5732")
COUNTRIES = ("DE", "FR", "IT", "NL", "US", "PL", "ES", "GB")


def write_history(
    folder: Path,
    *,
    rows: int,
    cards: int,
    partitions: int = 2,
    days: int = 30,
    merchants: int = 5_000,
    late_share: float = 0.002,
) -> None:
    """Write `rows` transactions of `cards` cards over `days` days from `FIRST_DAY` on, evenly spread.

    A share of them reaches the log up to a day late, so that files of neighbouring dates overlap. Each file has
    what reached one partition on one day and happened on one date. Memory does not grow with `rows`.
    """
    random = np.random.default_rng(1)
    offsets = [0] * partitions
    for day in range(days):
        for partition in range(partitions):
            count = rows * (day + 1) // days // partitions - rows * day // days // partitions
            arrived = np.sort(random.integers(0, DAY_MS, count)) + (FIRST_DAY + day) * DAY_MS
            delay = np.where(random.random(count) < late_share, random.integers(0, DAY_MS, count), 0)
            occurred = np.maximum(arrived - delay, FIRST_DAY * DAY_MS)
            table = _transactions(random, occurred, partition, partitions, offsets[partition], cards, merchants)
            for date in np.unique(occurred // DAY_MS).tolist():
                of_date = table.filter(pa.array(occurred // DAY_MS == date))
                name = f"{partition:04d}-{of_date['log_offset'][0].as_py():012d}.parquet"
                path = folder / f"date={np.datetime64(date, 'D')}" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                pq.write_table(of_date, path, compression="zstd")
            offsets[partition] += count


def _transactions(
    random: np.random.Generator,
    occurred_at_ms: NDArray[np.int64],
    partition: int,
    partitions: int,
    first_offset: int,
    cards: int,
    merchants: int,
) -> pa.Table:
    count = len(occurred_at_ms)
    places = random.random(count) < 0.6
    devices = random.random(count) < 0.4
    card = random.integers(0, max(cards // partitions, 1), count) * partitions + partition
    offsets = np.arange(first_offset, first_offset + count)

    def named(prefix: str, numbers: NDArray[Any], known: NDArray[np.bool_] | None = None) -> pa.Array[Any]:
        texts = np.char.add(prefix, np.char.zfill(numbers.astype("U12"), 12))
        return pa.array(texts, pa.string(), mask=None if known is None else ~known)

    def one_of(values: tuple[str, ...]) -> pa.Array[Any]:
        return pa.DictionaryArray.from_arrays(
            pa.array(random.integers(0, len(values), count), pa.int32()), pa.array(values)
        ).cast(pa.string())

    columns = {
        "transaction_id": named(f"tx-{partition}-", offsets),
        "card_id": named("card-", card),
        "merchant_id": named("merchant-", random.integers(0, merchants, count)),
        "occurred_at": pa.array(occurred_at_ms, pa.int64()),
        "amount_minor": random.integers(0, 50_000, count),
        "currency": pa.array(["EUR"] * count),
        "merchant_category": one_of(CATEGORIES),
        "channel": one_of(tuple(CHANNEL_CODES)),
        "country": one_of(COUNTRIES),
        "latitude": pa.array(random.uniform(40, 55, count), mask=~places),
        "longitude": pa.array(random.uniform(0, 20, count), mask=~places),
        "device_id": named("device-", card, devices),
        "customer_id": pa.nulls(count, pa.string()),
        "previous_outcome": one_of(("approved", "approved", "approved", "declined")),
        "card_range": named("range-", card % 200),
        "partition": np.full(count, partition, np.int32),
        "log_offset": offsets,
    }
    return pa.table(columns).cast(SCHEMAS[TRANSACTIONS])
