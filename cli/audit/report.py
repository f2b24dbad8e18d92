"""The results of `cardwatch audit`: as structs, which `--json` prints, and what text and page show of them."""

from __future__ import annotations

from datetime import date
from typing import Any

from msgspec import Struct

from cardwatch.audit.checks import AuditCheck, CheckStatus
from cardwatch.audit.lineage import ModelLineage
from cardwatch.audit.range_tally import RangeCounts
from cardwatch.audit.reason_basis import ReasonBasis
from cardwatch.events import Transaction


class AuditOrigin(Struct, frozen=True, kw_only=True):
    """When and with what an audit was made. `registry` is empty if no model was needed."""

    made_at: str
    cardwatch: str
    archive: str
    registry: str


class AuditedFeature(Struct, frozen=True, kw_only=True):
    """A feature of the decision. `contribution` is its share in the margin, None where no model scored."""

    name: str
    meaning: str
    unit: str
    recorded: float | None
    replayed: float | None
    contribution: float | None
    is_equal: bool


class DecisionAudit(Struct, frozen=True, kw_only=True):
    """The audit of one decision.

    `record` is the decision as it is archived, without the features, which are in `features` unless they are of another
    schema. `payment` is the transaction of the log, None without one. `policy_source` says where the policy was found.
    `model` is the lineage of the model that decided, None where rules did, `shadow` that of the other one that scored.
    `moves_fault` says what is wrong with the move log, empty if nothing is.
    """

    origin: AuditOrigin
    transaction_id: str
    partition: int
    offset: int
    record: dict[str, Any]
    payment: Transaction | None
    checks: list[AuditCheck]
    reasons: list[ReasonBasis]
    expected_margin: float | None
    features: list[AuditedFeature]
    policy_source: str
    model: ModelLineage | None
    shadow: ModelLineage | None
    notes: list[str]
    moves_fault: str

    @property
    def faults(self) -> list[str]:
        """What is wrong with verdicts and moves of the models, as sentences."""
        return [*([self.moves_fault] if self.moves_fault else []), *faults_of([self.model, self.shadow])]

    @property
    def differences(self) -> int:
        """The checks that differ, and what is wrong with the lineage."""
        return len(self.with_status(CheckStatus.DIFFERENT)) + len(self.faults)

    def with_status(self, status: CheckStatus) -> list[AuditCheck]:
        """Return the checks with this result."""
        return [check for check in self.checks if check.status is status]


class DaysAudit(Struct, frozen=True, kw_only=True):
    """The audit of all decisions on transactions of some days, both included.

    `replayed` is the number of transactions that were replayed for it. `models` are those that decided, `policies` says
    where each was found, by version. The rate is in processor time of all threads.
    """

    origin: AuditOrigin
    first_day: date
    last_day: date
    counts: RangeCounts
    replayed: int
    seconds: float
    decisions_per_core_second: float
    models: list[ModelLineage]
    policies: dict[str, str]
    moves_fault: str

    @property
    def faults(self) -> list[str]:
        """What is wrong with verdicts and moves of the models, as sentences."""
        return [*([self.moves_fault] if self.moves_fault else []), *faults_of(self.models)]

    @property
    def differences(self) -> int:
        """The differences of all decisions, and what is wrong with the lineages."""
        return self.counts.differences + len(self.faults)


def faults_of(lineages: list[ModelLineage] | list[ModelLineage | None]) -> list[str]:
    """Return what is wrong with the verdicts on these versions and with their moves, as sentences."""
    return [
        f"version {lineage.version}: {fault}" for lineage in lineages if lineage is not None for fault in lineage.faults
    ]
