"""Columns of simulated transactions that follow from others once all of them are known."""

from __future__ import annotations

import numpy as np

from cardwatch.simulation.categories import CODE_NUMBERS
from cardwatch.simulation.merchants import Merchants
from cardwatch.simulation.transaction_array import PRESENT, TransactionArray


def complete(merchants: Merchants, transactions: TransactionArray) -> None:
    """Fill the columns of n transactions that need all of them: number, merchant id and category, and what is sent."""
    merchant = transactions["merchant"]
    transactions["number"] = np.arange(len(transactions))
    transactions["merchant_number"] = merchants.numbers(merchant)
    transactions["category"] = CODE_NUMBERS[merchants.category[merchant]]
    transactions["has_place"] = np.isin(transactions["channel"], PRESENT)
    transactions["has_customer"] = transactions["has_range"] = True
