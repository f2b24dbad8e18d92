"""Step 1 of the commit order: the records of one partition, decoded and folded in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cardwatch.admission import admit, cut_dead_letter, dead_letter
from cardwatch.decision.folding import FoldedTransactions, cards_of, fold_transactions
from cardwatch.errors import InvalidRecord, Superseded
from cardwatch.events import DeadLetter, Transaction
from cardwatch.features.reference_choice import Tables
from cardwatch.features.state import STATE
from cardwatch.partitioning import Partitioning
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


def fold_batch(
    store: FeatureStore,
    tables: Tables,
    partitioning: Partitioning,
    partition: int,
    start: int,
    records: Sequence[Record],
    before: Batch | None = None,
) -> Batch:
    """Fold the records over the newest states. Writes nothing.

    The newest state of a card is the one that `before`, the preceding batch of the partition, leaves; for a card that
    this batch does not hold, or without such a batch, the one in the store. So `before` need not be in the store yet.
    Raises `Superseded` if the records begin before `start`: another worker had the partition in between.
    """
    if records[0].offset < start:
        raise Superseded(f"transactions[{partition}] moved while it was read: {records[0].offset} is behind {start}")
    admitted, transactions, dead_letters = decode_records(records, partitioning)
    cards, card_index = cards_of(transactions)
    states = newest_states(store, cards, before)
    folded = fold_transactions(tables, states, card_index, transactions)
    cut = [cut_dead_letter(letter) for letter in dead_letters]  # a letter that does not fit would abort the transaction
    return Batch(partition, start, records[-1].offset + 1, admitted, folded, cards, states, cut)


def newest_states(store: FeatureStore, cards: Sequence[str], before: Batch | None) -> StateArray:
    """Return the states of distinct cards in their order: those of `before` where it has them, else the store's."""
    if before is None or not before.cards:
        return store.load(cards)
    index_before = {card: index for index, card in enumerate(before.cards)}
    indexes = np.fromiter((index_before.get(card, -1) for card in cards), np.int64, len(cards))
    is_known = indexes >= 0
    if not is_known.any():
        return store.load(cards)
    states = np.empty(len(cards), STATE)
    states[is_known] = before.states[indexes[is_known]]
    if not is_known.all():
        others = [card for card, known in zip(cards, is_known.tolist(), strict=True) if not known]
        states[~is_known] = store.load(others)
    return states


def decode_records(
    records: Sequence[Record], partitioning: Partitioning
) -> tuple[list[Record], list[Transaction], list[DeadLetter]]:
    """Return the admitted records, their transactions, and dead letters for all other records."""
    admitted: list[Record] = []
    transactions: list[Transaction] = []
    dead_letters: list[DeadLetter] = []
    for record in records:
        try:
            transactions.append(admit(record, partitioning))
            admitted.append(record)
        except InvalidRecord as error:
            dead_letters.append(dead_letter(record, error))
    return admitted, transactions, dead_letters
