"""Checks of recorded decisions: what was recorded, what was computed, and whether both are equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Flags = NDArray[np.bool_]


class CheckName(StrEnum):
    """What is checked of a decision, in the order in which a decision comes about."""

    TRANSACTION = "transaction"
    ONE_DECISION = "one_decision"
    SEQUENCE = "sequence"
    TABLE = "table"
    FEATURES = "features"
    MODEL = "model"
    MARGIN = "margin"
    PROBABILITY = "probability"
    SHADOW = "shadow"
    CANARY = "canary"
    DEGRADED = "degraded"
    POLICY = "policy"
    ACTION = "action"
    CONTROL = "control"
    REASONS = "reasons"


CHECK_TEXTS: Final = {
    CheckName.TRANSACTION: "the payment in the decision is the one in the log",
    CheckName.ONE_DECISION: "the transaction is no repeat, and is decided once",
    CheckName.SEQUENCE: "so many transactions of the card lie before it in the log",
    CheckName.TABLE: "the reference table is stored as it was, and was valid on that day",
    CheckName.FEATURES: "the log, replayed through the kernel, gives the same feature row, bit for bit",
    CheckName.MODEL: "the stored model has the digest in the decision, and its files have that digest",
    CheckName.MARGIN: "the stored model gives the recorded features the same margin, bit for bit",
    CheckName.PROBABILITY: "the calibration of the stored model gives the same probability, bit for bit",
    CheckName.SHADOW: "the other model that scored gives the same margin and probability, bit for bit",
    CheckName.CANARY: "the card belongs to the share of the canary if it decided, and not if the champion did",
    CheckName.DEGRADED: "there is a score, or the reason why there is none",
    CheckName.POLICY: "the policy of this version is known",
    CheckName.ACTION: "the policy chooses the same action",
    CheckName.CONTROL: "the control share draws the transaction, or does not, and has this propensity",
    CheckName.REASONS: "the same reason codes follow, in the same order",
}


class CheckStatus(StrEnum):
    """The result of a check."""

    EQUAL = "equal"
    DIFFERENT = "different"
    NOT_CHECKED = "not_checked"


class Compared(NamedTuple):
    """What was recorded and what was computed, as text. `remark` explains the two."""

    recorded: str
    computed: str
    remark: str = ""


class AuditCheck(Struct, frozen=True, kw_only=True):
    """The result of a check of one decision. `why` says why it could not be made, or explains what was found."""

    name: CheckName
    status: CheckStatus
    recorded: str
    computed: str
    why: str = ""


class CheckedColumn(Struct, frozen=True, kw_only=True):
    """The results of one check of n decisions.

    `different` and `applies`: bool [n]. A check that does not apply, such as to a challenger that there was not, has no
    result. `unchecked`: by the reason why a check could not be made the rows, bool [n]; no row is in two of them, or
    different too. `values` gives what was compared in a row.
    """

    name: CheckName
    applies: Flags
    different: Flags
    unchecked: Mapping[str, Flags]
    values: Callable[[int], Compared]

    @property
    def equal(self) -> Flags:
        """The rows that are equal, bool [n]."""
        rest = self.applies & ~self.different
        for rows in self.unchecked.values():
            rest &= ~rows
        return rest

    def check(self, row: int) -> AuditCheck | None:
        """Return the result for one row, None if the check does not apply."""
        if not self.applies[row]:
            return None
        recorded, computed, remark = self.values(row)
        why = next((why for why, rows in self.unchecked.items() if rows[row]), "")
        status = CheckStatus.NOT_CHECKED if why else CheckStatus.EQUAL
        if self.different[row]:
            status = CheckStatus.DIFFERENT
        return AuditCheck(name=self.name, status=status, recorded=recorded, computed=computed, why=why or remark)


class Unchecked:
    """Collects why a check of n rows could not be made; the first reason of a row counts."""

    def __init__(self, rows: int) -> None:
        self.any: Flags = np.zeros(rows, np.bool_)
        self.by_reason: dict[str, Flags] = {}

    def add(self, reason: str, rows: Flags) -> None:
        """Note the reason for those of the rows, bool [n], that have none yet."""
        new = rows & ~self.any
        if new.any():
            self.by_reason[reason] = self.by_reason.get(reason, np.zeros(len(new), np.bool_)) | new
            self.any |= new


def same_bits(one: NDArray[np.floating[Any]], other: NDArray[np.floating[Any]]) -> Flags:
    """Return where two arrays of one floating type and shape have the same bits, or both are missing (NaN).

    >>> same_bits(np.array([0.0, np.nan, 1.0]), np.array([-0.0, np.nan, 1.0])).tolist()
    [False, True, True]
    """
    words = np.dtype(f"u{one.dtype.itemsize}")
    same: Flags = np.ascontiguousarray(one).view(words) == np.ascontiguousarray(other).view(words)
    same |= np.isnan(one) & np.isnan(other)
    return same


def checked(
    name: CheckName,
    rows: int,
    different: Flags,
    values: Callable[[int], Compared],
    unchecked: Unchecked | None = None,
    applies: Flags | None = None,
) -> CheckedColumn:
    """Return a check of n rows. Those that could not be checked are not different; by default it applies to all."""
    applying = np.ones(rows, np.bool_) if applies is None else applies
    found = Unchecked(rows) if unchecked is None else unchecked
    return CheckedColumn(
        name=name,
        applies=applying,
        different=different & applying & ~found.any,
        unchecked={reason: of_reason & applying for reason, of_reason in found.by_reason.items()},
        values=values,
    )


def shown(value: np.floating[Any] | float) -> str:
    """Return a number with all digits that identify it, or "missing"."""
    return "missing" if np.isnan(value) else str(value)
