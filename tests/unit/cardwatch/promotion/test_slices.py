"""Slices of judged rows."""

import numpy as np

from cardwatch.features.definitions import FEATURES, column
from cardwatch.promotion.slices import UNKNOWN, slices_of


def row(**values: float) -> np.ndarray:
    found = np.zeros(len(FEATURES), np.float32)
    for name, value in values.items():
        found[column(name)] = value
    return found


def test_a_row_is_in_one_slice_of_each_division() -> None:
    rows = np.stack(
        [
            row(is_ecommerce=1, amount=9.99, merchant_category=5411, history_length=19),
            row(is_chip=1, amount=10.0, merchant_category=3000, history_length=20),
            row(amount=200.0, merchant_category=9999, history_length=50),
        ]
    )

    assert {name: values.tolist() for name, values in slices_of(rows).items()} == {
        "channel": ["ecommerce", "chip", UNKNOWN],
        "amount": ["below 10", "10 to 50", "200 and more"],
        "category": ["retail", "travel", "government"],
        "card": ["new", "known", "known"],
    }


def test_what_is_missing_is_in_no_slice() -> None:
    found = slices_of(np.full((1, len(FEATURES)), np.nan, np.float32))

    assert (found["amount"].tolist(), found["category"].tolist()) == ([UNKNOWN], [UNKNOWN])
