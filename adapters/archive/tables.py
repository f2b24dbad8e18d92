"""The port of an archive for monitoring and training: its tables lie in files, or in the memory of a stress test."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Protocol

import pyarrow as pa


class ArchivedTables(Protocol):
    """Tables of the schemas of `adapters.archive.layout`. Days are event dates in UTC; ranges include both ends."""

    def closed_days(self) -> dict[date, str]:
        """Return the complete days, each with the id of the reference table built at its end."""

    def transactions(self, first: date, last: date, /) -> pa.Table:
        """Return the transactions of the days, in log order (partition, then log_offset)."""

    def transaction_columns(self, first: date, last: date, columns: Sequence[str], /) -> pa.Table:
        """Return some columns of the transactions of the days, and their positions, in log order."""

    def decisions(self, first: date, last: date, /) -> pa.Table:
        """Return the decisions on transactions of the days, in log order of the transactions."""

    def decision_columns(self, first: date, last: date, columns: Sequence[str], /) -> pa.Table:
        """Return some columns of the decisions on transactions of the days, and their positions, in log order."""

    def labels(self, observed_before: datetime, /) -> pa.Table:
        """Return all labels that were observed before this time, in the order of the label log."""
