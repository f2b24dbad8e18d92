"""Archive rows as input of the reference tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from cardwatch.events import to_epoch_ms
from cardwatch.features.hashing import identity_hash
from cardwatch.features.reference_table import ReferenceBuilder


def add_rows(
    builder: ReferenceBuilder, transactions: Sequence[Mapping[str, Any]], labels: Iterable[Mapping[str, Any]]
) -> None:
    """Add archive rows to the builder."""
    builder.add_transactions(
        np.fromiter((identity_hash(row["merchant_id"]) for row in transactions), np.uint64, len(transactions)),
        np.fromiter((to_epoch_ms(row["occurred_at"]) for row in transactions), np.int64, len(transactions)),
        np.fromiter((row["amount_minor"] for row in transactions), np.int64, len(transactions)),
    )
    for row in labels:
        builder.add_label(
            row["transaction_id"],
            identity_hash(row["merchant_id"]),
            is_fraud=row["is_fraud"],
            effective_at=row["effective_at"],
            observed_at=row["observed_at"],
        )
