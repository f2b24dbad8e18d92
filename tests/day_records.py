"""Days of records for tests of the data contract, made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np

from cardwatch.data_contract.records import CODE_COLUMNS, KEY_COLUMNS, OPTIONAL_COLUMNS, CodeColumn, DayRecords
from cardwatch.features.hashing import identity_hashes

MONDAY = date(2025, 1, 6)
_EPOCH = date(1970, 1, 1)


def day_number(number: int) -> date:
    """Return day number `number`, counted from a Monday as 0."""
    return MONDAY + timedelta(days=number)


def day_records(rows: Sequence[Mapping[str, Any]], day: date = MONDAY) -> DayRecords:
    """Return records from dictionaries, in the order of the log.

    What a row does not say has a usual value: noon, 10 euros, chip, a grocer in Germany, and ids of its own. `minute`
    is the minute of the day.
    """
    midnight_ms = (day - _EPOCH).days * 86_400_000
    usual: dict[str, Any] = {
        "channel": "chip", "merchant_category": "5411", "country": "DE", "currency": "EUR", "previous_outcome": None,
        "card_id": "c", "merchant_id": "m", "device_id": None, "latitude": 50.0, "longitude": 7.0,
        "customer_id": "u", "card_range": "r", "minute": 720.0, "amount_minor": 1_000, "partition": 0,
    }  # fmt: skip
    full = [{**usual, "transaction_id": f"t-{number}", "log_offset": number, **row} for number, row in enumerate(rows)]

    def column(name: str) -> list[Any]:
        return [row[name] for row in full]

    return DayRecords(
        transaction_ids=identity_hashes(column("transaction_id")),
        keys={name: identity_hashes(column(name)) for name in KEY_COLUMNS},
        occurred_at_ms=np.array([midnight_ms + round(minute * 60_000) for minute in column("minute")], np.int64),
        amount_minor=np.array(column("amount_minor"), np.int64),
        codes={name: code_column(column(name)) for name in CODE_COLUMNS},
        missing={name: np.array([value is None for value in column(name)], np.bool_) for name in OPTIONAL_COLUMNS},
        partitions=np.array(column("partition"), np.int64),
        log_offsets=np.array(column("log_offset"), np.int64),
    )


def code_column(values: Sequence[str | None]) -> CodeColumn:
    """Return a column of codes, None for a missing one."""
    distinct = sorted({value for value in values if value is not None})
    return CodeColumn(
        distinct, np.array([-1 if value is None else distinct.index(value) for value in values], np.int64)
    )
