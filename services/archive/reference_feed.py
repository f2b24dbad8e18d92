"""Archive rows into the builder of reference tables: as they come, and from the archive after a restart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np

from adapters.archive.reader import Archive
from cardwatch.events import to_epoch_ms
from cardwatch.features.hashing import identity_hash
from cardwatch.features.reference_table import WINDOW_DAYS, ReferenceBuilder


def feed(
    builder: ReferenceBuilder, transactions: Sequence[Mapping[str, Any]], labels: Iterable[Mapping[str, Any]]
) -> None:
    """Add rows of the archive to the builder."""
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


def rebuilt(archive: Archive) -> ReferenceBuilder:
    """A builder that holds what the archive has of the newest window."""
    builder = ReferenceBuilder()
    days = archive.days()
    if days:
        # By closed days: one transaction from the far future is the archive's newest day, but nobody's window.
        closed = max(archive.closed_days(), default=days[0])
        first = min(closed, days[-1]) - timedelta(days=2 * WINDOW_DAYS)
        transactions = archive.transactions(first, days[-1]).select(["merchant_id", "occurred_at", "amount_minor"])
        feed(builder, transactions.to_pylist(), archive.all_labels().to_pylist())
    return builder
