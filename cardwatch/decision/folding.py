"""Runs transactions through the feature kernel, each with the reference table of its event day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cardwatch.events import Transaction, utc_day
from cardwatch.features.columns import card_index, encode
from cardwatch.features.kernel import FoldedRows, fold
from cardwatch.features.reference_choice import TableChoice, Tables, choose_table
from cardwatch.features.replay import fold_with_tables
from cardwatch.ports import StateArray

_FIRST_CARD: Final = np.zeros(1, np.int64)


class FoldedTransactions(NamedTuple):
    """n transactions in log order, the reference table that each one used, and their feature rows."""

    transactions: Sequence[Transaction]
    tables: Sequence[TableChoice]
    rows: FoldedRows


def cards_of(transactions: Sequence[Transaction]) -> tuple[list[str], NDArray[np.int64]]:
    """Return the distinct cards in order of appearance, and the index of each transaction's card, int64 [n]."""
    if len(transactions) == 1:
        return [transactions[0].card_id], _FIRST_CARD
    return card_index([transaction.card_id for transaction in transactions])


def fold_transactions(
    tables: Tables, states: StateArray, card_index: NDArray[np.int64], transactions: Sequence[Transaction]
) -> FoldedTransactions:
    """Fold the transactions in their order into `states`, which is changed; `card_index` as `cards_of` returns it."""
    if len(transactions) == 1:
        choice = choose_table(tables, utc_day(transactions[0].occurred_at))
        return FoldedTransactions(transactions, [choice], fold(states, card_index, encode(transactions), choice.table))
    days = [utc_day(transaction.occurred_at) for transaction in transactions]
    choice_of_day = {day: choose_table(tables, day) for day in set(days)}
    choices = [choice_of_day[day] for day in days]
    rows = fold_with_tables(states, card_index, encode(transactions), [choice.table for choice in choices])
    return FoldedTransactions(transactions, choices, rows)


def concatenate_without_repeats(parts: Sequence[FoldedTransactions]) -> FoldedTransactions:
    """Return the transactions of one or more parts, in their order, without those that their card had seen before."""
    new = [~part.rows.duplicates for part in parts]
    indices = [(part, i) for part, mask in zip(parts, new, strict=True) for i in np.flatnonzero(mask).tolist()]
    return FoldedTransactions(
        [part.transactions[i] for part, i in indices],
        [part.tables[i] for part, i in indices],
        FoldedRows(
            *(
                np.concatenate([column[mask] for column, mask in zip(columns, new, strict=True)])
                for columns in zip(*(part.rows for part in parts), strict=True)
            )
        ),
    )
