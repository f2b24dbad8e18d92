"""The audit of recorded decisions: every part of a record against what follows from log, tables, models and policies.

    log      -> payment, sequence, features by the kernel    tables   -> stored as they were, valid on that day
    registry -> model -> margin, probability                 policies -> action, control share, reason codes

Numbers are compared bit for bit. One decision is audited as a batch of one, so that a single audit and one of a range
cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from cardwatch.audit.checks import CheckedColumn
from cardwatch.audit.log_checks import log_checks
from cardwatch.audit.outcome_checks import outcome_checks
from cardwatch.audit.outcomes_again import decide_recorded
from cardwatch.audit.recorded_columns import AuditedDecisions, AuditedTables
from cardwatch.audit.score_checks import score_checks
from cardwatch.audit.scored_again import score_again
from cardwatch.audit.stored_model import StoredModels
from cardwatch.decision.control_share import ControlSample
from cardwatch.decision.cost_policy import DecisionPolicy


class AuditSources(Struct, frozen=True, kw_only=True):
    """What decisions are checked against.

    `policies` are those that are known, by version. `control` is None without the key of the control share.
    """

    models: StoredModels
    policies: Mapping[str, DecisionPolicy]
    tables: AuditedTables
    control: ControlSample | None


def check_decisions(decisions: AuditedDecisions, sources: AuditSources) -> list[CheckedColumn]:
    """Return the results of all checks, in the order of `CheckName`.

    Raises `RegistryUnavailable` if the registry does not answer.
    """
    scored = score_again(decisions, decisions.model_versions, sources.models, decisions.model_digests)
    shadow = score_again(decisions, decisions.shadow_versions, sources.models)
    again = decide_recorded(decisions, scored, sources.policies, sources.tables)
    return [
        *log_checks(decisions, sources.tables),
        *score_checks(decisions, scored, shadow),
        *outcome_checks(decisions, again, sources.policies, sources.control),
    ]
