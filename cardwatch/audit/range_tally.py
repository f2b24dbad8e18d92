"""The audit of many decisions, batch by batch: counts of every check, and the first examples of what differs."""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np
from msgspec import Struct

from cardwatch.audit.checks import CheckedColumn, CheckName
from cardwatch.audit.recorded_columns import AuditedDecisions, TextColumn

EXAMPLES: Final = 5
"""Number of differences of each check that are shown."""


class DifferenceExample(Struct, frozen=True, kw_only=True):
    """One difference: where the transaction lies in the log, and what was compared."""

    partition: int
    offset: int
    transaction_id: str
    recorded: str
    computed: str
    why: str


class CheckCounts(Struct, frozen=True, kw_only=True):
    """How many decisions passed a check, differ, and could not be checked, by the reason."""

    name: CheckName
    equal: int
    different: int
    not_checked: dict[str, int]
    examples: list[DifferenceExample]


class RangeCounts(Struct, frozen=True, kw_only=True):
    """The audit of the decisions of some days.

    `differing` are the decisions with at least one difference, `differences` counts them all. `undecided` are
    transactions of the days that have no decision, although later ones of their partition have one; `first_undecided`
    are positions in the log, partition and offset. `models` and `policies` count decisions by version, "none" where
    rules decided; `degraded` are those.
    """

    decisions: int
    differing: int
    undecided: int
    first_undecided: list[tuple[int, int]]
    degraded: int
    control: int
    models: dict[str, int]
    policies: dict[str, int]
    checks: list[CheckCounts]

    @property
    def differences(self) -> int:
        """All differences, those of one decision each counted, and the transactions without a decision."""
        return sum(each.different for each in self.checks) + self.undecided


class RangeTally:
    """Adds up the checks of batches."""

    def __init__(self) -> None:
        self._equal: Counter[CheckName] = Counter()
        self._different: Counter[CheckName] = Counter()
        self._not_checked: dict[CheckName, Counter[str]] = {name: Counter() for name in CheckName}
        self._examples: dict[CheckName, list[DifferenceExample]] = {name: [] for name in CheckName}
        self._models: Counter[str] = Counter()
        self._policies: Counter[str] = Counter()
        self._decisions = self._differing = self._undecided = self._degraded = self._control = 0
        self._first_undecided: list[tuple[int, int]] = []

    def add(self, decisions: AuditedDecisions, columns: list[CheckedColumn]) -> None:
        """Count one batch."""
        differing = np.zeros(len(decisions), np.bool_)
        for column in columns:
            self._equal[column.name] += int(column.equal.sum())
            self._different[column.name] += int(column.different.sum())
            for reason, rows in column.unchecked.items():
                self._not_checked[column.name][reason] += int(rows.sum())
            differing |= column.different
            wanted = EXAMPLES - len(self._examples[column.name])
            for row in np.flatnonzero(column.different)[:wanted].tolist():
                self._examples[column.name].append(_example(decisions, column, row))
        self._decisions += len(decisions)
        self._differing += int(differing.sum())
        self._degraded += int(decisions.is_degraded.sum())
        self._control += int((~np.isnan(decisions.propensities)).sum())
        self._models.update(_counts(decisions.model_versions))
        self._policies.update(_counts(decisions.policy_versions))

    def add_undecided(self, positions: list[tuple[int, int]]) -> None:
        """Count transactions without a decision, by partition and offset."""
        self._undecided += len(positions)
        self._first_undecided += positions[: EXAMPLES - len(self._first_undecided)]

    def counts(self) -> RangeCounts:
        """Return the counts of all batches so far."""
        return RangeCounts(
            decisions=self._decisions,
            differing=self._differing,
            undecided=self._undecided,
            first_undecided=self._first_undecided,
            degraded=self._degraded,
            control=self._control,
            models=dict(sorted(self._models.items())),
            policies=dict(sorted(self._policies.items())),
            checks=[
                CheckCounts(
                    name=name,
                    equal=self._equal[name],
                    different=self._different[name],
                    not_checked={reason: rows for reason, rows in self._not_checked[name].items() if rows},
                    examples=self._examples[name],
                )
                for name in CheckName
            ],
        )


def _example(decisions: AuditedDecisions, column: CheckedColumn, row: int) -> DifferenceExample:
    compared = column.values(row)
    return DifferenceExample(
        partition=int(decisions.partitions[row]),
        offset=int(decisions.offsets[row]),
        transaction_id=decisions.transaction_ids[row],
        recorded=compared.recorded,
        computed=compared.computed,
        why=compared.remark,
    )


def _counts(texts: TextColumn) -> Counter[str]:
    codes, counts = np.unique(texts.codes, return_counts=True)
    named = zip(codes.tolist(), counts.tolist(), strict=True)
    return Counter({"none" if code < 0 else texts.names[code]: count for code, count in named})
