"""Log lines about archived rows: labels of fraud at INFO, all other rows at DEBUG."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final

from adapters.runtime.logs import about
from cardwatch.topics import DECISIONS, LABELS, TRANSACTIONS
from services.archive.metrics import Rows

log = logging.getLogger(__name__)

_DAY: Final = timedelta(days=1)


def log_rows(rows: Rows) -> None:
    """Log rows that were written."""
    for row in rows.get(LABELS, ()):
        days = (row["observed_at"] - row["effective_at"]) / _DAY
        log.log(
            logging.INFO if row["is_fraud"] else logging.DEBUG,
            "%s says %s after %.1f days, observed at %s",
            row["source"],
            "fraud" if row["is_fraud"] else "genuine",
            days,
            row["observed_at"].isoformat(),
            extra=about(row["transaction_id"]),
        )
    if log.isEnabledFor(logging.DEBUG):
        for kind in (TRANSACTIONS, DECISIONS):
            for row in rows.get(kind, ()):
                log.debug("archived from %s", kind, extra=about(row["transaction_id"]))
