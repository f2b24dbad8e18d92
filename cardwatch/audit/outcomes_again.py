"""Recorded rows, decided again by the decision path, with the probabilities of the stored models.

The path is that of the stream worker, `cardwatch.decision.decide.apply_policy`. The control share is drawn as it was
recorded, so that actions can be compared without the key; whether the key draws the same is a check of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.audit.checks import Flags, Unchecked
from cardwatch.audit.recorded_columns import AuditedDecisions, AuditedTables
from cardwatch.audit.scored_again import ScoredAgain
from cardwatch.decision.control_share import ControlSample
from cardwatch.decision.cost_policy import CHANNELS, DecisionPolicy
from cardwatch.decision.decide import (
    DegradationCause,
    DegradedReason,
    Outcome,
    ScorableRows,
    Scored,
    apply_policy,
    missing_rate,
)
from cardwatch.decision.folding import FoldedTransactions
from cardwatch.decision.overlay_rules import name_features
from cardwatch.events import EPOCH, Action, Transaction
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.features.kernel import FoldedRows
from cardwatch.features.reference_choice import why_stale
from cardwatch.features.reference_table import DAY_MS
from cardwatch.ports import Scores

OTHER_SCHEMA: Final = "the features are of another schema than this version computes"
NOT_IN_LOG: Final = "the log has no transaction at this position"
_CHANNEL_CODES: Final = {channel: code for code, channel in enumerate(CHANNELS)}
_ANY_CAUSE: Final = DegradationCause.SCORING
"""The cause of a recorded reason is not recorded. It has no influence on the outcome."""


class OutcomesAgain(Struct, frozen=True, kw_only=True):
    """The outcome of each of n rows, None where `problems` says why there is none.

    `degraded_reasons` are those that follow from table and policy, None where a model could decide. `drawn_from`:
    float64 [n], the control share that the row is drawn from, 0 for most. `has_reasons`: bool [n], False where the
    codes of the model, which would be among the reasons, are not known.
    """

    outcomes: list[Outcome | None]
    degraded_reasons: list[str | None]
    drawn_from: NDArray[np.float64]
    has_reasons: Flags
    problems: Unchecked


def decide_recorded(
    decisions: AuditedDecisions, scored: ScoredAgain, policies: Mapping[str, DecisionPolicy], tables: AuditedTables
) -> OutcomesAgain:
    """Decide the rows again, each by the policy that it names. `policies` are the known ones by their versions.

    Where the stored model gives no probability, the recorded one decides.
    """
    deciding = _Deciding(decisions, scored, tables)
    problems, versions = deciding.again.problems, decisions.policy_versions
    problems.add(NOT_IN_LOG, ~decisions.in_log)
    for policy_code, version in enumerate(versions.names):
        rows = (versions.codes == policy_code) & ~problems.any
        policy = policies.get(version)
        if policy is None:
            problems.add(f"policy {version} is not at hand: name its file with --decided-by", rows)
            continue
        if decisions.feature_schema != SCHEMA_HASH:
            needs_features = ~decisions.has_score | name_features(policy.rules)
            problems.add(OTHER_SCHEMA, rows & needs_features)
            rows &= ~needs_features
        model_codes = decisions.model_versions.codes
        for model_code in np.unique(model_codes[rows]).tolist():
            deciding.decide(policy, model_code, np.flatnonzero(rows & (model_codes == model_code)))
    problems.add("the record names no policy", versions.is_missing)
    return deciding.again


class _RecordedDraws(ControlSample):
    """Draws the transactions that were drawn, and notes those that it was asked about, with the share."""

    def __init__(self, drawn: Iterable[str]) -> None:
        self._drawn = frozenset(drawn)
        self.asked: dict[str, float] = {}

    def contains(self, transaction_id: str, share: float) -> bool:
        """Return whether it was drawn, whatever the share."""
        self.asked[transaction_id] = share
        return transaction_id in self._drawn


class _Deciding:
    """Decides groups of rows that have one policy and one model."""

    def __init__(self, decisions: AuditedDecisions, scored: ScoredAgain, tables: AuditedTables) -> None:
        self._decisions, self._scored, self._has_score = decisions, scored, decisions.has_score
        self.again = OutcomesAgain(
            outcomes=[None] * len(decisions),
            degraded_reasons=_stale_reasons(decisions, tables),
            drawn_from=np.zeros(len(decisions)),
            has_reasons=np.ones(len(decisions), np.bool_),
            problems=Unchecked(len(decisions)),
        )

    def decide(self, policy: DecisionPolicy, model_code: int, places: NDArray[np.int64]) -> None:
        """Decide the rows at these places, all of which are in the log."""
        decisions, again = self._decisions, self.again
        payments = [payment for place in places.tolist() if (payment := decisions.payments[place]) is not None]
        degraded = self._degraded(policy, places, payments)
        is_scorable = np.array([reason is None for reason in degraded], np.bool_)
        rows = scores = None
        if is_scorable.any():
            scorable = places[is_scorable]
            rows = _scorable_rows(policy, decisions, scorable)
            scores = self._scores(policy, model_code, scorable, rows)
        folded = FoldedTransactions(
            payments,
            [],  # the tables, which `apply_policy` does not need
            FoldedRows(decisions.features[places], decisions.sequences[places], np.zeros(len(places), np.bool_)),
        )
        drawn = places[~np.isnan(decisions.propensities[places])].tolist()
        draws = _RecordedDraws(decisions.transaction_ids[place] for place in drawn)
        outcomes = apply_policy(policy, Scored(folded, degraded, rows, scores), draws)
        for place, payment, outcome in zip(places.tolist(), payments, outcomes, strict=True):
            again.outcomes[place] = outcome
            again.drawn_from[place] = draws.asked.get(payment.transaction_id, 0.0)
            if outcome.model_action in {None, Action.APPROVE} or outcome.control_propensity is not None:
                again.has_reasons[place] = True

    def _degraded(
        self, policy: DecisionPolicy, places: NDArray[np.int64], payments: list[Transaction]
    ) -> list[DegradedReason | None]:
        """Return why the rules decide each row: by table or policy, else as recorded if there is no score."""
        found: list[DegradedReason | None] = []
        for place, payment in zip(places.tolist(), payments, strict=True):
            reason = self.again.degraded_reasons[place]
            if reason is None and policy.rate_of(payment.currency) is None:
                reason = self.again.degraded_reasons[place] = missing_rate(policy, payment.currency).text
            if reason is None and not self._has_score[place]:
                reason = self._decisions.degraded_reasons.of(place) or ""
            found.append(None if reason is None else DegradedReason(_ANY_CAUSE, reason))
        return found

    def _scores(self, policy: DecisionPolicy, model_code: int, places: NDArray[np.int64], rows: ScorableRows) -> Scores:
        """Return the scores of the stored model, with reasons for all rows that may be alerts."""
        decisions, scored = self._decisions, self._scored
        probabilities, margins = scored.probabilities[places], scored.margins[places]
        is_recorded = np.isnan(probabilities)
        probabilities[is_recorded] = decisions.probabilities[places][is_recorded]
        margins[is_recorded] = decisions.margins[places][is_recorded]
        may_alert = probabilities >= policy.alarming_probabilities(rows.amounts_minor, rows.channels)
        is_explained = may_alert & ~is_recorded & (decisions.feature_schema == SCHEMA_HASH)
        self.again.has_reasons[places[may_alert & ~is_explained]] = False
        reasons: list[list[str]] = [[] for _ in places]
        explained = np.flatnonzero(is_explained)
        detector = scored.models[model_code].detector if model_code >= 0 else None
        if detector is not None and len(explained):
            codes = detector.reasons(rows.features[explained])
            for row, of_row in zip(explained.tolist(), codes, strict=True):
                reasons[row] = of_row
        return Scores(model_version="", model_digest="", margins=margins, probabilities=probabilities, reasons=reasons)


def _scorable_rows(policy: DecisionPolicy, decisions: AuditedDecisions, places: NDArray[np.int64]) -> ScorableRows:
    payments = [payment for place in places.tolist() if (payment := decisions.payments[place]) is not None]
    amounts = np.array([payment.amount_minor for payment in payments], np.float64)
    amounts *= np.array([policy.rate_of(payment.currency) for payment in payments], np.float64)
    channels = np.array([_CHANNEL_CODES[payment.channel] for payment in payments], np.int64)
    return ScorableRows(decisions.features[places], amounts, channels, payments)


def _stale_reasons(decisions: AuditedDecisions, tables: AuditedTables) -> list[str | None]:
    """Return for each row why its table was too old, None where it was not."""
    reasons: list[str | None] = [None] * len(decisions)
    codes, days = decisions.table_ids.codes, decisions.occurred_at_ms // DAY_MS
    for code, name in enumerate(decisions.table_ids.names):
        table = tables.by_id[name].table
        if table is None:
            continue
        of_table = (codes == code) & decisions.in_log
        for day in np.unique(days[of_table]).tolist():
            if (reason := why_stale(table, day_of(day * DAY_MS))) is not None:
                for row in np.flatnonzero(of_table & (days == day)).tolist():
                    reasons[row] = reason
    return reasons


def day_of(epoch_ms: int) -> date:
    """Return the event day (UTC) of a time in milliseconds since 1970."""
    return EPOCH.date() + timedelta(days=epoch_ms // DAY_MS)
