"""Amounts of archived transactions in the currency of the decision policy."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adapters.archive.arrow_columns import codes_with_missing
from cardwatch.decision.cost_policy import DecisionPolicy


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
