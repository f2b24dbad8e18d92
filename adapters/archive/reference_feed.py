"""Archive rows as input of the reference tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from cardwatch.events import to_epoch_ms
from cardwatch.features.hashing import identity_hash, identity_hashes
from cardwatch.features.known_frauds import ReferenceLabel
from cardwatch.features.reference_builder import ReferenceBuilder
from cardwatch.features.reference_days import ROWS

_IDENTIFIERS: Final = {
    "transaction": "transaction_id",
    "card": "card_id",
    "merchant": "merchant_id",
    "device": "device_id",
}

COLUMNS_NEEDED: Final = (*_IDENTIFIERS.values(), "occurred_at", "amount_minor")
"""Columns of archived transactions that reference tables are made of."""


def add_rows(
    builder: ReferenceBuilder, transactions: Sequence[Mapping[str, Any]], labels: Iterable[Mapping[str, Any]]
) -> None:
    """Add archive rows to the builder."""
    rows = np.empty(len(transactions), ROWS)
    for name, column in _IDENTIFIERS.items():
        rows[name] = identity_hashes([row[column] for row in transactions])
    rows["occurred_at_ms"] = [to_epoch_ms(row["occurred_at"]) for row in transactions]
    rows["amount_minor"] = [row["amount_minor"] for row in transactions]
    builder.add_rows(rows)
    for row in labels:
        builder.add_label(
            ReferenceLabel(
                observed_at_ms=to_epoch_ms(row["observed_at"]),
                is_fraud=row["is_fraud"],
                occurred_at_ms=to_epoch_ms(row["effective_at"]),
                transaction=identity_hash(row["transaction_id"]),
                merchant=identity_hash(row["merchant_id"]),
                card=identity_hash(row["card_id"]),
            )
        )
