"""One partition's share of a step: records decoded and folded, in memory only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple, Protocol

from adapters.kafka import Record
from cardwatch.errors import InvalidRecord, Superseded
from cardwatch.events import DeadLetter, Transaction, decode
from cardwatch.features.columns import card_index, encode
from cardwatch.features.kernel import Folded, fold
from cardwatch.features.reference import ReferenceTable
from cardwatch.features.replay import fold_with_tables
from cardwatch.ports import FeatureStore, StateArray


class Tables(Protocol):
    """Where the reference table of a transaction comes from."""

    def newest(self, at: date) -> ReferenceTable:
        """The newest table with `valid_from` <= `at`."""
        ...


class Batch(NamedTuple):
    """What became of one partition's records. `records`, `transactions` and the rows of `folded` are parallel.

    `position` is the offset after the batch, `begins` the one where it started: what `applied` must still be.
    """

    partition: int
    begins: int
    position: int
    records: list[Record]
    transactions: list[Transaction]
    folded: Folded
    table_ids: list[str]
    cards: list[str]
    states: StateArray
    dead_letters: list[DeadLetter]


def fold_batch(store: FeatureStore, tables: Tables, partition: int, begins: int, records: Sequence[Record]) -> Batch:
    """Step 1 of the commit order: fold the batch over states read from the store. Writes nothing."""
    if records[0].offset < begins:
        raise Superseded(f"transactions[{partition}] moved while it was read: {records[0].offset} is behind {begins}")
    good, transactions, dead_letters = _sort_out(records)
    cards, index = card_index([transaction.card_id for transaction in transactions])
    states = store.load(cards)
    days = [transaction.occurred_at.date() for transaction in transactions]
    used = {day: tables.newest(day) for day in set(days)}
    folded = fold_with_tables(states, index, encode(transactions), [used[day] for day in days])
    return Batch(
        partition,
        begins,
        records[-1].offset + 1,
        good,
        transactions,
        folded,
        [used[day].table_id for day in days],
        cards,
        states,
        dead_letters,
    )


def fold_gap(store: FeatureStore, partition: int, begins: int, records: Sequence[Record]) -> None:
    """Fold records that were decided before into the store. Table and model play no part: states know neither."""
    _, transactions, _ = _sort_out(records)
    cards, index = card_index([transaction.card_id for transaction in transactions])
    states = store.load(cards)
    fold(states, index, encode(transactions), ReferenceTable.empty())
    store.apply(partition, expected=begins, position=records[-1].offset + 1, card_ids=cards, states=states)


def _sort_out(records: Sequence[Record]) -> tuple[list[Record], list[Transaction], list[DeadLetter]]:
    good: list[Record] = []
    transactions: list[Transaction] = []
    dead_letters: list[DeadLetter] = []
    for record in records:
        try:
            transactions.append(_read(record))
            good.append(record)
        except InvalidRecord as error:
            dead_letters.append(
                DeadLetter(
                    topic=record.topic,
                    partition=record.partition,
                    offset=record.offset,
                    key=record.key,
                    value=record.value,
                    field=error.field,
                    reason=error.reason,
                )
            )
    return good, transactions, dead_letters


def _read(record: Record) -> Transaction:
    transaction = decode(record.value, Transaction)
    if record.key != transaction.card_id.encode():
        # Another key may lie in another partition, and then two workers would write one card's state.
        raise InvalidRecord("the record's key is not its card_id", field="$.card_id")
    return transaction
