"""Step 1 of the commit order: the records of one partition, decoded and folded in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cardwatch.decision.folding import FoldedTransactions, cards_of, fold_transactions
from cardwatch.errors import InvalidRecord, Superseded
from cardwatch.events import DeadLetter, Transaction, decode_keyed
from cardwatch.features.reference_choice import Tables
from cardwatch.ports import FeatureStore, StateArray
from cardwatch.records import Record


class Batch(NamedTuple):
    """Records of one partition after folding.

    `start` is the offset where the batch begins, which `applied` must still equal when the states are written; `stop`
    is the offset after it. `records` are those that hold the transactions of `folded`, in the same order. `states` are
    the next states of `cards`, in the same order.
    """

    partition: int
    start: int
    stop: int
    records: list[Record]
    folded: FoldedTransactions
    cards: list[str]
    states: StateArray
    dead_letters: list[DeadLetter]


def fold_batch(store: FeatureStore, tables: Tables, partition: int, start: int, records: Sequence[Record]) -> Batch:
    """Fold the records over states read from the store. Writes nothing.

    Raises `Superseded` if the records begin before `start`: another worker had the partition in between.
    """
    if records[0].offset < start:
        raise Superseded(f"transactions[{partition}] moved while it was read: {records[0].offset} is behind {start}")
    valid, transactions, dead_letters = decode_records(records)
    cards, card_index = cards_of(transactions)
    states = store.load(cards)
    folded = fold_transactions(tables, states, card_index, transactions)
    return Batch(partition, start, records[-1].offset + 1, valid, folded, cards, states, dead_letters)


def decode_records(records: Sequence[Record]) -> tuple[list[Record], list[Transaction], list[DeadLetter]]:
    """Return the records that hold valid transactions, these transactions, and dead letters for all other records."""
    valid: list[Record] = []
    transactions: list[Transaction] = []
    dead_letters: list[DeadLetter] = []
    for record in records:
        try:
            transactions.append(decode_keyed(record.key, record.value))
            valid.append(record)
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
    return valid, transactions, dead_letters
