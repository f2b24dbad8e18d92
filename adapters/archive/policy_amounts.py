"""Amounts of archived transactions and decisions in the currency of the decision policy."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adapters.archive.arrow_columns import Arrow, codes_with_missing
from adapters.archive.log_files import log_offsets
from cardwatch.decision.cost_policy import DecisionPolicy

_OFFSET_BITS: Final = 48


def amounts_in_currency_of(policy: DecisionPolicy, transactions: pa.Table) -> NDArray[np.float64]:
    """Return the amounts of n transactions in minor units of the policy's currency, float64 [n].

    `transactions` needs `amount_minor`, and `currency` if the policy has a currency. An amount is NaN where the
    policy has no rate for its currency, or where that is missing.
    """
    amounts: NDArray[np.float64] = transactions["amount_minor"].to_numpy().astype(np.float64)
    if policy.currency is None:
        return amounts
    names, codes = codes_with_missing(transactions["currency"])
    rates = [policy.rate_of(name) for name in names]
    of_names = np.array([*(np.nan if rate is None else rate for rate in rates), np.nan])  # -1, missing, is the last
    converted: NDArray[np.float64] = amounts * of_names[codes]
    return converted


def with_amounts_in_currency_of(policy: DecisionPolicy, decisions: pa.Table, transactions: pa.Table) -> pa.Table:
    """Return the decisions with `amount_minor` as float64 in the policy's currency, see `amounts_in_currency_of`.

    Decisions have no currency, so it comes from `currency` of the transactions at the same positions in the log. Where
    that transaction is missing, the amount is NaN.
    """
    positions, of_transactions = pa.array(log_positions(decisions)), pa.array(log_positions(transactions))
    found: Arrow = pc.index_in(positions, value_set=of_transactions)
    columns: list[Arrow] = [decisions["amount_minor"], transactions["currency"].take(found)]
    priced = pa.table(columns, names=["amount_minor", "currency"])
    place = decisions.schema.get_field_index("amount_minor")
    return decisions.set_column(place, "amount_minor", pa.array(amounts_in_currency_of(policy, priced)))


def log_positions(rows: pa.Table) -> NDArray[np.int64]:
    """Return the position in the log of each row as one number, int64 [n]."""
    partitions: NDArray[np.int64] = rows["partition"].to_numpy().astype(np.int64)
    return (partitions << _OFFSET_BITS) | log_offsets(rows)
