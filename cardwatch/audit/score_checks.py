"""Checks of the scores: the stored models and what they give the recorded features."""

from __future__ import annotations

from typing import Any

import numpy as np

from cardwatch.audit.checks import CheckedColumn, CheckName, Compared, Flags, Unchecked, checked, same_bits, shown
from cardwatch.audit.outcomes_again import NOT_IN_LOG
from cardwatch.audit.recorded_columns import AuditedDecisions
from cardwatch.audit.scored_again import ScoredAgain
from cardwatch.decision.canary_cards import is_decided_by_canary


def score_checks(decisions: AuditedDecisions, scored: ScoredAgain, shadow: ScoredAgain) -> list[CheckedColumn]:
    """Return the checks of the model that decided, and of the other one that scored, in shadow or as canary."""
    return [
        _model(decisions, scored),
        _margin(decisions, scored),
        _probability(decisions, scored),
        _shadow(decisions, shadow),
        _canary(decisions),
    ]


def _model(decisions: AuditedDecisions, scored: ScoredAgain) -> CheckedColumn:
    versions, unchecked = decisions.model_versions, Unchecked(len(decisions))
    for model, code in zip(scored.models, range(len(versions.names)), strict=True):
        unchecked.add(model.problem, scored.is_deleted & (versions.codes == code))

    def values(row: int) -> Compared:
        recorded = f"version {versions.shown(row)}, digest {decisions.model_digests.shown(row)}"
        code = int(versions.codes[row])
        model = scored.models[code] if code >= 0 else None
        if model is None or model.registered is None:
            return Compared(recorded, "", "" if model else "the record names no model")
        return Compared(recorded, f"version {model.registered.version}, digest {model.digest}", model.problem)

    different = scored.is_other | (decisions.has_score & versions.is_missing)
    return checked(
        CheckName.MODEL,
        len(decisions),
        different,
        values,
        unchecked,
        applies=decisions.has_score | ~versions.is_missing,
    )


def _margin(decisions: AuditedDecisions, scored: ScoredAgain) -> CheckedColumn:
    return checked(
        CheckName.MARGIN,
        len(decisions),
        ~same_bits(decisions.margins, scored.margins),
        lambda row: Compared(shown(decisions.margins[row]), _computed(scored.margins[row])),
        scored.problems,
        applies=_has_model(decisions),
    )


def _probability(decisions: AuditedDecisions, scored: ScoredAgain) -> CheckedColumn:
    return checked(
        CheckName.PROBABILITY,
        len(decisions),
        ~same_bits(decisions.probabilities, scored.probabilities),
        lambda row: Compared(shown(decisions.probabilities[row]), _computed(scored.probabilities[row])),
        scored.problems,
        applies=_has_model(decisions),
    )


def _shadow(decisions: AuditedDecisions, scored: ScoredAgain) -> CheckedColumn:
    different = ~same_bits(decisions.shadow_margins, scored.margins)
    different |= ~same_bits(decisions.shadow_probabilities, scored.probabilities)
    is_changed = scored.is_other & ~scored.is_deleted

    def values(row: int) -> Compared:
        name = f"version {decisions.shadow_versions.shown(row)}"
        recorded, computed = (
            f"{name}: margin {shown(margins[row])}, probability {shown(probabilities[row])}"
            for margins, probabilities in (
                (decisions.shadow_margins, decisions.shadow_probabilities),
                (scored.margins, scored.probabilities),
            )
        )
        if scored.problems.any[row] or is_changed[row]:
            computed = ""
        code = int(decisions.shadow_versions.codes[row])
        return Compared(recorded, computed, scored.models[code].problem if code >= 0 else "")

    unchecked = Unchecked(len(decisions))
    for reason, rows in scored.problems.by_reason.items():
        unchecked.add(reason, rows & ~is_changed)
    applies = ~decisions.shadow_versions.is_missing | ~np.isnan(decisions.shadow_margins)
    return checked(CheckName.SHADOW, len(decisions), different | is_changed, values, unchecked, applies=applies)


def _canary(decisions: AuditedDecisions) -> CheckedColumn:
    versions, shares, unchecked = decisions.canary_versions, decisions.canary_shares, Unchecked(len(decisions))
    is_whole = ~versions.is_missing & (shares > 0.0) & (shares <= 1.0)
    by_canary = np.array([versions.of(row) == decisions.model_versions.of(row) for row in range(len(decisions))], bool)
    belongs = np.zeros(len(decisions), np.bool_)
    for code, share in sorted({*zip(versions.codes[is_whole].tolist(), shares[is_whole].tolist(), strict=True)}):
        rows = np.flatnonzero(is_whole & decisions.in_log & (versions.codes == code) & (shares == share))
        cards = [payment.card_id for row in rows.tolist() if (payment := decisions.payments[row]) is not None]
        belongs[rows] = is_decided_by_canary(cards, versions.names[code], share)
    unchecked.add(NOT_IN_LOG, ~decisions.in_log)

    def values(row: int) -> Compared:
        recorded = "the canary" if by_canary[row] else "the champion"
        share = f"version {versions.shown(row)} with {shown(shares[row])} of the cards"
        computed = f"the {'canary' if belongs[row] else 'champion'} decides the card" if is_whole[row] else "no share"
        return Compared(f"decided by {recorded}; canary: {share}", computed)

    return checked(
        CheckName.CANARY,
        len(decisions),
        ~is_whole | (by_canary != belongs),
        values,
        unchecked,
        ~versions.is_missing | ~np.isnan(shares),
    )


def _has_model(decisions: AuditedDecisions) -> Flags:
    return decisions.has_score & ~decisions.model_versions.is_missing


def _computed(value: np.floating[Any]) -> str:
    return "" if np.isnan(value) else str(value)
