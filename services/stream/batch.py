"""One partition's share of a step: records decoded and folded, in memory only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cardwatch.errors import InvalidRecord, Superseded
from cardwatch.events import DeadLetter, Transaction, decode, utc_day
from cardwatch.features.columns import card_index, encode
from cardwatch.features.kernel import FoldedRows
from cardwatch.features.reference_choice import TableChoice, Tables, choose_table
from cardwatch.features.replay import fold_with_tables
from cardwatch.ports import FeatureStore, StateArray
from cardwatch.records import Record


class Batch(NamedTuple):
    """What became of one partition's records. `records`, `transactions`, `folded` and `tables` are parallel.

    `position` is the offset after the batch, `begins` the one where it started: what `applied` must still be.
    """

    partition: int
    begins: int
    position: int
    records: list[Record]
    transactions: list[Transaction]
    folded: FoldedRows
    tables: list[TableChoice]
    cards: list[str]
    states: StateArray
    dead_letters: list[DeadLetter]


def fold_batch(store: FeatureStore, tables: Tables, partition: int, begins: int, records: Sequence[Record]) -> Batch:
    """Step 1 of the commit order: fold the batch over states read from the store. Writes nothing."""
    if records[0].offset < begins:
        raise Superseded(f"transactions[{partition}] moved while it was read: {records[0].offset} is behind {begins}")
    good, transactions, dead_letters = sort_out(records)
    cards, index = card_index([transaction.card_id for transaction in transactions])
    states = store.load(cards)
    return Batch(
        partition,
        begins,
        records[-1].offset + 1,
        good,
        transactions,
        *fold_transactions(tables, states, index, transactions),
        cards,
        states,
        dead_letters,
    )


def fold_transactions(
    tables: Tables, states: StateArray, card_index: NDArray[np.int64], transactions: Sequence[Transaction]
) -> tuple[FoldedRows, list[TableChoice]]:
    """Fold transactions into `states`, each with the reference table of its day; gives the tables too."""
    days = [utc_day(transaction.occurred_at) for transaction in transactions]
    choices = {day: choose_table(tables, day) for day in set(days)}
    used = [choices[day] for day in days]
    return fold_with_tables(states, card_index, encode(transactions), [choice.table for choice in used]), used


def sort_out(records: Sequence[Record]) -> tuple[list[Record], list[Transaction], list[DeadLetter]]:
    """The records that are transactions, those transactions, and what became of the others."""
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
