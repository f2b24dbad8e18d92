"""The audit of one decision: the archived record, and everything that it rests on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from adapters.archive.audit_tables import AuditTables
from adapters.archive.audited_decision import ArchivedDecision, find_archived_decision, replay_archived_decision
from adapters.archive.reader import Archive
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.runtime.settings import Settings
from cardwatch.audit.checks import same_bits
from cardwatch.audit.decision_check import AuditSources, check_decisions
from cardwatch.audit.reason_basis import ReasonBasis, reason_basis
from cardwatch.audit.recorded_columns import AuditedDecisions
from cardwatch.audit.stored_model import StoredModel, StoredModels
from cardwatch.decision.control_share import ControlSample
from cardwatch.errors import CardwatchError
from cardwatch.events import to_epoch_ms
from cardwatch.features.definitions import FEATURES, SCHEMA_HASH
from cli.audit.origin import origin_of
from cli.audit.report import AuditedFeature, DecisionAudit
from cli.audit.sources import AuditedModels, KnownPolicies
from cli.audit.undecided import why_there_is_no_decision


def audit_decision(
    settings: Settings,
    archive: Archive,
    transaction_id: str,
    *,
    models: AuditedModels,
    policies: KnownPolicies,
    control: ControlSample | None,
) -> DecisionAudit:
    """Audit the archived decision about a transaction. Raises `CardwatchError` that says why there is none."""
    found = find_archived_decision(archive, transaction_id)
    if found is None:
        raise CardwatchError(why_there_is_no_decision(settings, archive, transaction_id))
    tables = AuditTables(ReferenceTableStore(settings.tables), archive.closed_days())
    decision = replay_archived_decision(archive, tables, found)
    stored = StoredModels(models)
    sources = AuditSources(models=stored, policies=policies, tables=tables.stored, control=control)
    checks = [check for column in check_decisions(decision, sources) if (check := column.check(0)) is not None]
    scored = _scoring_model(decision, stored)
    contributions = _contributions(decision, scored)
    partition, offset = found.position
    policy_version = found.record["policy_version"] or ""
    model_version, shadow_version = found.record["model_version"], found.record["shadow_version"]
    decided_at = found.record["decided_at"]
    decided_at_ms = None if decided_at is None else float(to_epoch_ms(decided_at))
    return DecisionAudit(
        transaction_id=transaction_id,
        partition=partition,
        offset=offset,
        record=found.record,
        payment=decision.payments[0],
        checks=checks,
        reasons=_reasons(decision, contributions, policies, policy_version),
        expected_margin=None if scored is None or scored.detector is None else scored.detector.expected_margin(),
        features=_features(decision, contributions),
        policy_source=policies.source(policy_version),
        model=None if model_version is None else models.lineage(model_version, decided_at_ms),
        shadow=None if shadow_version is None else models.lineage(shadow_version, decided_at_ms),
        moves_fault=models.moves_fault,
        notes=_notes(found, decision, scored),
        origin=origin_of(settings, models),
    )


def _scoring_model(decision: AuditedDecisions, stored: StoredModels) -> StoredModel | None:
    """Return the stored model that scored, None if rules decided or the stored one has another digest."""
    version = decision.model_versions.of(0)
    if version is None or not decision.has_score[0]:
        return None
    model = stored.load(version, decision.feature_schema)
    return model if model.detector is not None and model.digest == decision.model_digests.of(0) else None


def _contributions(decision: AuditedDecisions, model: StoredModel | None) -> NDArray[np.float64] | None:
    if model is None or model.detector is None or decision.feature_schema != SCHEMA_HASH:
        return None
    of_row: NDArray[np.float64] = model.detector.contributions(decision.features)[0]
    return of_row


def _reasons(
    decision: AuditedDecisions,
    contributions: NDArray[np.float64] | None,
    policies: KnownPolicies,
    policy_version: str,
) -> list[ReasonBasis]:
    """Return what each recorded reason rests on; of another schema no feature has a name, so nothing."""
    is_named = decision.feature_schema == SCHEMA_HASH
    row = decision.features[0] if is_named else np.full(len(FEATURES), np.nan, np.float32)
    policy = policies.get(policy_version)
    return [
        reason_basis(code, row, contributions=contributions, policy=policy, payment=decision.payments[0])
        for code in decision.reasons[0]
    ]


def _features(decision: AuditedDecisions, contributions: NDArray[np.float64] | None) -> list[AuditedFeature]:
    if decision.feature_schema != SCHEMA_HASH:
        return []
    recorded, replayed = decision.features[0], decision.replayed.features[0]
    equal = same_bits(recorded, replayed).tolist()
    return [
        AuditedFeature(
            name=feature.name,
            meaning=feature.meaning,
            unit=feature.unit,
            recorded=_number(recorded[at]),
            replayed=_number(replayed[at]),
            contribution=None if contributions is None else float(contributions[at]),
            is_equal=equal[at],
        )
        for at, feature in enumerate(FEATURES)
    ]


def _number(value: np.float32) -> float | None:
    """Return the number with the fewest digits that identify it, None if it is missing."""
    return None if np.isnan(value) else float(str(value))


def _notes(found: ArchivedDecision, decision: AuditedDecisions, model: StoredModel | None) -> list[str]:
    notes = [f"there is another decision about a transaction of this id, at {p}:{o}" for p, o in found.others]
    is_comparable = (
        decision.in_log[0] and decision.feature_schema == SCHEMA_HASH and not decision.replayed.duplicates[0]
    )
    differ = is_comparable and not same_bits(decision.features, decision.replayed.features).all()
    if differ and model is not None and model.detector is not None:
        [margin] = model.detector.margins(decision.replayed.features)
        is_scored = bool(same_bits(np.array([margin]), decision.margins)[0])
        notes.append(
            f"the replayed features give the margin {margin}, "
            + (
                "which is the recorded one: so it was them that the model scored"
                if is_scored
                else "not the recorded one"
            )
        )
    return notes
