"""Training sets: history through the kernel, with the labels as they were known at one moment.

The features come from replaying the whole archived log (`pipelines.folding`), each transaction with the reference
table that its decision recorded, or, for history that nobody decided, with the table that the rule gives. A label
counts if it was observed before T; a mature transaction without a fraud label is genuine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final, Protocol, cast

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct
from numpy.typing import NDArray

from adapters.archive.log_files import log_offsets
from adapters.archive.reader import fraud_ids
from cardwatch.errors import Misconfigured
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.features.reference_table import DAY_MS, ReferenceTable
from cardwatch.features.replay import TableShelf
from cardwatch.label_maturity import end_of_day
from cardwatch.promotion.gate import Windows
from pipelines.folding import CardStates, ReplayableLog, Replayed, replay_partition

_EPOCH: Final = date(1970, 1, 1)
_KEPT: Final = ["transaction_id", "card_id", "occurred_at", "amount_minor", "partition", "log_offset"]


class TrainingHistory(Protocol):
    """What is needed of the archive (`adapters.archive.reader.Archive`)."""

    def log(self) -> ReplayableLog:
        """Everything that it holds of transactions and decisions, to be read in log order."""
        ...


class ReplayedLog(Struct, frozen=True, kw_only=True):
    """The whole archived log, folded. Rows are in log order: by partition, then offset.

    `transactions` has what training and reports need of each: its ids, place in the log, time and amount.
    `duplicates` marks repeats, whose feature rows are empty. `states` are the cards' states after the last row, in the
    order of `cards`, and `card_partitions` says where each card lives. `ends`: per partition the next offset.
    """

    transactions: pa.Table
    occurred_at_ms: NDArray[np.int64]
    features: NDArray[np.float32]
    duplicates: NDArray[np.bool_]
    cards: list[str]
    card_partitions: NDArray[np.int64]
    states: NDArray[np.void]
    ends: dict[int, int]

    @property
    def first_day(self) -> date:
        """The day of the oldest transaction."""
        return _EPOCH + timedelta(days=int(self.occurred_at_ms.min()) // DAY_MS)

    @property
    def last_day(self) -> date:
        """The day of the newest transaction."""
        return _EPOCH + timedelta(days=int(self.occurred_at_ms.max()) // DAY_MS)


class TrainingSet(Struct, frozen=True, kw_only=True):
    """Feature rows and what became of them, in log order, all arrays of the same length.

    `features`: float32 [n, features], NaN where missing. `fingerprint`: equal for equal content.
    """

    features: NDArray[np.float32]
    is_fraud: NDArray[np.bool_]
    amount_minor: NDArray[np.int64]
    occurred_at_ms: NDArray[np.int64]
    card_ids: NDArray[np.object_]
    transaction_ids: NDArray[np.object_]
    fingerprint: str

    @property
    def days(self) -> NDArray[np.int64]:
        """Each row's event day (UTC), counted from 1970."""
        return self.occurred_at_ms // DAY_MS

    def between(self, first: date, until: date) -> TrainingSet:
        """The rows whose event day lies in [first, until)."""
        rows = (self.days >= _day_number(first)) & (self.days < _day_number(until))
        return TrainingSet(
            features=self.features[rows],
            is_fraud=self.is_fraud[rows],
            amount_minor=self.amount_minor[rows],
            occurred_at_ms=self.occurred_at_ms[rows],
            card_ids=self.card_ids[rows],
            transaction_ids=self.transaction_ids[rows],
            fingerprint=self.fingerprint,
        )


def replay_log(history: TrainingHistory, tables: Sequence[ReferenceTable]) -> ReplayedLog:
    """Fold everything that is archived, from empty states on. `tables` are all that were ever built."""
    log, shelf = history.log(), TableShelf(tables)
    batches: list[Replayed] = []
    cards: list[CardStates] = []
    for partition in log.partitions:
        cards.append(CardStates())
        for batch in replay_partition(log, partition, shelf, cards[-1]):
            batches.append(batch._replace(transactions=batch.transactions.select(_KEPT)))
    if not batches:
        raise Misconfigured("the archive is empty: there is nothing to train on")
    transactions = pa.concat_tables([batch.transactions for batch in batches])
    return ReplayedLog(
        transactions=transactions,
        occurred_at_ms=np.concatenate([batch.occurred_at_ms for batch in batches]),
        features=np.concatenate([batch.folded.features for batch in batches]),
        duplicates=np.concatenate([batch.folded.duplicates for batch in batches]),
        cards=[card for of_partition in cards for card in of_partition.cards],
        card_partitions=np.repeat(log.partitions, [len(of_partition.cards) for of_partition in cards]),
        states=np.concatenate([of_partition.states for of_partition in cards]),
        ends=_ends(transactions["partition"].to_numpy(), log_offsets(transactions)),
    )


def training_set(log: ReplayedLog, labels: pa.Table, as_of: date, windows: Windows) -> TrainingSet:
    """The rows of both windows as they were known at T, the end of `as_of`; labels observed later are not used."""
    known = labels.filter(pc.less(labels["observed_at"], pa.scalar(end_of_day(as_of), labels["observed_at"].type)))
    days = log.occurred_at_ms // DAY_MS
    rows = (days >= _day_number(windows.train_from)) & (days < _day_number(windows.judge_until)) & ~log.duplicates
    chosen = log.transactions.filter(pa.array(rows))
    is_fraud = pc.is_in(chosen["transaction_id"], value_set=fraud_ids(known))
    return TrainingSet(
        features=log.features[rows],
        is_fraud=is_fraud.to_numpy().astype(np.bool_),
        amount_minor=chosen["amount_minor"].to_numpy().astype(np.int64),
        occurred_at_ms=log.occurred_at_ms[rows],
        card_ids=np.array(_strings(chosen["card_id"]), np.object_),
        transaction_ids=np.array(_strings(chosen["transaction_id"]), np.object_),
        fingerprint=_fingerprint(log, known, as_of, windows),
    )


def _fingerprint(log: ReplayedLog, labels: pa.Table, as_of: date, windows: Windows) -> str:
    before = log.occurred_at_ms < (_day_number(as_of) + 1) * DAY_MS
    seen = log.transactions.filter(pa.array(before))
    content: dict[str, Any] = {
        "log_ends": _ends(seen["partition"].to_numpy(), seen["log_offset"].to_numpy()),
        "label_ends": _ends(labels["partition"].to_numpy(), labels["log_offset"].to_numpy()),
        "as_of": as_of,
        "windows": windows,
        "schema_hash": SCHEMA_HASH,
    }
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()


def _ends(partitions: NDArray[Any], offsets: NDArray[Any]) -> dict[int, int]:
    return {int(partition): int(offsets[partitions == partition].max()) + 1 for partition in np.unique(partitions)}


def _strings(column: pa.ChunkedArray[Any]) -> list[str]:
    return cast(list[str], column.to_pylist())


def _day_number(day: date) -> int:
    return (day - _EPOCH).days
