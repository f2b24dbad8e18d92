"""Profiles of archived days for the data contract, see `cardwatch.data_contract`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Final

import numpy as np
import pyarrow as pa

from adapters.archive.arrow_columns import codes_with_missing, epoch_ms, hashes
from adapters.archive.log_files import log_offsets
from adapters.archive.tables import ArchivedTables
from cardwatch.data_contract.profile import (
    DayProfile,
    KnownKeys,
    distinct_hashes,
    profile_day,
    union_of_keys,
)
from cardwatch.data_contract.quarantine import newest_days
from cardwatch.data_contract.records import CODE_COLUMNS, KEY_COLUMNS, OPTIONAL_COLUMNS, CodeColumn, DayRecords
from cardwatch.features.reference_table import DAY_MS
from cardwatch.label_maturity import end_of_day

KNOWN_DAYS: Final = 7
"""Number of days before a day whose cards, merchants and devices are known on it: every weekday once."""
_EPOCH: Final = date(1970, 1, 1)


class DayProfiler:
    """Makes profiles of archived days. The keys of the newest days are kept in memory, because every day needs them."""

    def __init__(self, archive: ArchivedTables) -> None:
        self._archive = archive
        self._keys: dict[date, KnownKeys] = {}

    def profile(self, day: date, known_days: Sequence[date], labels: int | None) -> DayProfile:
        """Return the profile of a closed day. Without `KNOWN_DAYS` known days its keys are not measured."""
        transactions = self._archive.transactions(day, day)
        known = union_of_keys(map(self._keys_of, known_days)) if len(known_days) >= KNOWN_DAYS else None
        self._keys = {kept: keys for kept, keys in self._keys.items() if kept in known_days}
        return profile_day(day, records_of(transactions), known=known, labels=labels)

    def _keys_of(self, day: date) -> KnownKeys:
        if day not in self._keys:
            columns = self._archive.transaction_columns(day, day, KEY_COLUMNS)
            self._keys[day] = {name: distinct_hashes(hashes(columns[name])) for name in KEY_COLUMNS}
        return self._keys[day]


def known_days(closed: Iterable[date], day: date, excluded_days: frozenset[date]) -> list[date]:
    """Return the newest closed days before `day` that are not excluded, in order: `KNOWN_DAYS` at most."""
    return newest_days((each for each in closed if each < day), KNOWN_DAYS, excluded_days)


def records_of(transactions: pa.Table) -> DayRecords:
    """Return archived transactions as records of the data contract."""
    return DayRecords(
        transaction_ids=hashes(transactions["transaction_id"]),
        keys={name: hashes(transactions[name]) for name in KEY_COLUMNS},
        occurred_at_ms=epoch_ms(transactions),
        amount_minor=transactions["amount_minor"].to_numpy().astype(np.int64),
        codes={name: CodeColumn(*codes_with_missing(transactions[name])) for name in CODE_COLUMNS},
        missing={name: transactions[name].is_null().to_numpy().astype(np.bool_) for name in OPTIONAL_COLUMNS},
        partitions=transactions["partition"].to_numpy().astype(np.int64),
        log_offsets=log_offsets(transactions),
    )


def labels_observed(labels: pa.Table, days: Sequence[date]) -> list[int]:
    """Return the number of labels that were observed on each of the days."""
    observed = labels["observed_at"].cast(pa.timestamp("ms", "UTC")).cast(pa.int64()).to_numpy() // DAY_MS
    return [int(np.count_nonzero(observed == (day - _EPOCH).days)) for day in days]


def labels_of_newest_days(archive: ArchivedTables, day: date, days: int) -> list[int]:
    """Return the number of labels observed on `day` and the `days - 1` days before it, newest first."""
    return labels_observed(archive.labels(end_of_day(day)), [day - timedelta(days=number) for number in range(days)])
