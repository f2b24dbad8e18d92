"""Recorded decisions as columns, with what the log has at their positions: what an audit starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.audit.checks import Flags
from cardwatch.events import Transaction
from cardwatch.features.kernel import FoldedRows
from cardwatch.features.reference_table import ReferenceTable


class TextColumn(NamedTuple):
    """A text for each of n rows: `codes`, int64 [n], are places in `names`, -1 where the text is missing."""

    names: Sequence[str]
    codes: NDArray[np.int64]

    def of(self, row: int) -> str | None:
        """Return the text of a row."""
        code = int(self.codes[row])
        return None if code < 0 else self.names[code]

    def shown(self, row: int) -> str:
        """Return the text of a row, or "none"."""
        text = self.of(row)
        return "none" if text is None else text

    @property
    def is_missing(self) -> Flags:
        """Where the text is missing, bool [n]."""
        missing: Flags = self.codes < 0
        return missing


class ComparedField(NamedTuple):
    """A field of the payment in decisions and log. `different`: bool [n]; the functions give the value of a row."""

    different: Flags
    recorded: Callable[[int], object]
    logged: Callable[[int], object]


class StoredTable(NamedTuple):
    """A reference table that decisions name. `table` is None if it cannot be used, and then `problem` says why.

    `is_wrong`: its file was changed, or nothing ever recorded a table of this id. `is_rebuilt`: it stands for a table
    of a former version, whose values may have been others.
    """

    table: ReferenceTable | None
    problem: str = ""
    is_wrong: bool = False
    is_rebuilt: bool = False


class AuditedTables(NamedTuple):
    """The tables by the id that decisions recorded, and a function that gives the id of the newest one of a day."""

    by_id: Mapping[str, StoredTable]
    newest_id: Callable[[date], str]


class AuditedDecisions(Struct, frozen=True, kw_only=True):
    """n recorded decisions whose features have one schema. All arrays have n rows.

    `features`: float32 [n, features of the schema]. Numbers are NaN where nothing was recorded: `margins` and
    `shadow_margins` are float32, `probabilities`, `shadow_probabilities`, `canary_shares` and `propensities` float64.
    `partitions`, `offsets`, `sequences` and `occurred_at_ms`, which is that of the log, are int64, `is_degraded` and
    `in_log` bool.

    `copies`: int64, how many archived decisions are about the transaction at the position.

    `payments` are the transactions of the log at the positions, None where there is none and `in_log` is False;
    `fields` compares them with what the decisions say. `replayed` is what the kernel gives for them, each with the
    table that its decision names; rows that are not in the log have no meaning there.
    """

    partitions: NDArray[np.int64]
    offsets: NDArray[np.int64]
    transaction_ids: Sequence[str]
    sequences: NDArray[np.int64]
    feature_schema: str
    features: NDArray[np.float32]
    table_ids: TextColumn
    model_versions: TextColumn
    model_digests: TextColumn
    policy_versions: TextColumn
    margins: NDArray[np.float32]
    probabilities: NDArray[np.float64]
    actions: TextColumn
    reasons: Sequence[Sequence[str]]
    is_degraded: Flags
    degraded_reasons: TextColumn
    shadow_versions: TextColumn
    shadow_margins: NDArray[np.float32]
    shadow_probabilities: NDArray[np.float64]
    canary_versions: TextColumn
    canary_shares: NDArray[np.float64]
    propensities: NDArray[np.float64]
    copies: NDArray[np.int64]
    in_log: Flags
    occurred_at_ms: NDArray[np.int64]
    payments: Sequence[Transaction | None]
    fields: Mapping[str, ComparedField]
    replayed: FoldedRows

    @property
    def has_score(self) -> Flags:
        """The decisions with a margin and a probability, bool [n]."""
        found: Flags = ~(np.isnan(self.margins) | np.isnan(self.probabilities))
        return found

    def __len__(self) -> int:
        return len(self.offsets)
