"""Days of the simulation as the data contract sees them, without records in between."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cardwatch.data_contract.records import CodeColumn, DayRecords
from cardwatch.events import Channel
from cardwatch.simulation.cities import COUNTRIES
from cardwatch.simulation.merchants import Merchants
from cardwatch.simulation.simulation import SimulatedDay
from cardwatch.simulation.transaction_array import NO_DEVICE, UNKNOWN

PARTITIONS = 4


def records_of(simulated: SimulatedDay, merchants: Merchants) -> DayRecords:
    """Return the records of a day in the order of their arrival, in a log of `PARTITIONS` partitions by card."""
    rows = simulated.transactions
    partitions = rows["card"] % PARTITIONS
    offsets = np.zeros(len(rows), np.int64)
    for partition in range(PARTITIONS):
        offsets[partitions == partition] = np.arange(np.count_nonzero(partitions == partition))
    no_place, no_customer, no_range = (~rows[name] for name in ("has_place", "has_customer", "has_range"))
    countries = np.array(COUNTRIES)[merchants.city[rows["merchant"]]]
    return DayRecords(
        transaction_ids=_numbered(simulated.number * 10_000_000 + rows["number"].astype(np.int64)),
        keys={
            "card_id": _numbered(rows["card"]),
            "merchant_id": _numbered(rows["merchant_number"]),
            "device_id": np.where(rows["device"] == NO_DEVICE, 0, _numbered(rows["device"])).astype(np.uint64),
        },
        occurred_at_ms=rows["occurred_at_ms"].astype(np.int64),
        amount_minor=rows["amount_minor"].astype(np.int64),
        codes={
            "channel": CodeColumn([channel.value for channel in Channel], rows["channel"].astype(np.int64)),
            "merchant_category": _coded(rows["category"]),
            "country": _coded(countries),
            "currency": CodeColumn(["EUR"], np.zeros(len(rows), np.int64)),
            "previous_outcome": CodeColumn(["approved", "declined"], rows["previous_outcome"].astype(np.int64) - 1),
        },
        missing={
            "latitude": no_place,
            "longitude": no_place,
            "device_id": rows["device"] == NO_DEVICE,
            "customer_id": no_customer,
            "previous_outcome": rows["previous_outcome"] == UNKNOWN,
            "card_range": no_range,
        },
        partitions=partitions.astype(np.int64),
        log_offsets=offsets,
    )


def _numbered(numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return numbers as hashes. 0 means a missing value, so they begin with 1."""
    return (numbers.astype(np.int64) + 1).astype(np.uint64)


def _coded(values: NDArray[np.generic]) -> CodeColumn:
    distinct, index = np.unique(values, return_inverse=True)
    return CodeColumn([str(value) for value in distinct.tolist()], index.astype(np.int64))
