"""The decision path: the model decides where there is a score, the rules decide where there is none.

    feature rows, reference tables -> scores, or the reason why there are none -> cost policy, or rules
        -> rules of the policy file -> control share -> outcomes

The stream worker, `/v1/score` and both AWS functions call `decide`. They differ only in where card states and scores
come from and in what they write.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from enum import StrEnum
from typing import NamedTuple, TypeAlias

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from cardwatch.decision.canary_cards import is_decided_by_canary
from cardwatch.decision.control_share import ControlSample
from cardwatch.decision.cost_policy import DecisionPolicy, channels_of
from cardwatch.decision.folding import FoldedTransactions
from cardwatch.decision.overlay_rules import Overlay, evaluate_rules, stricter
from cardwatch.errors import ModelRefused, NoModelServed, ScoringUnavailable
from cardwatch.events import Action, Transaction
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.features.reference_choice import TableChoice
from cardwatch.ports import Canary, Scorer, Scores


class DegradationCause(StrEnum):
    """The kinds of failure after which the rules decide."""

    NO_CHAMPION = "no_champion"
    """The scoring service answers but serves no model: none was trained yet, or every version was refused."""
    SCORING = "scoring"
    """The scoring service does not answer before the deadline."""
    MODEL = "model"
    """The model was trained for another feature schema."""
    TABLE = "table"
    """The reference table is stale or damaged."""
    STORE = "store"
    """The feature store does not answer. Only previews are decided then; the stream worker waits for the store."""
    CURRENCY = "currency"
    """The policy has no rate for the currency of the transaction, so its costs cannot be compared with the amount."""


class DegradedReason(NamedTuple):
    """The reason why the rules decided: its cause, which is counted, and its text, which decisions record."""

    cause: DegradationCause
    text: str


class Outcome(Struct, frozen=True, gc=False):
    """The decision about one transaction, by the model or by the rules.

    `degraded_reason` is None where the model decided. Where the rules decided, everything after it is None. `margin`
    is the model's raw score (higher is riskier), `probability` the calibrated one; `shadow_*` is what
    another served model gave for the same row. `model_action` is the action before the rules of the policy file and the
    control share. `control_propensity` and `canary_*` are those of a decision.
    """

    action: Action
    reasons: list[str]
    degraded_reason: DegradedReason | None = None
    model_version: str | None = None
    model_digest: str | None = None
    margin: float | None = None
    probability: float | None = None
    shadow_version: str | None = None
    shadow_margin: float | None = None
    shadow_probability: float | None = None
    model_action: Action | None = None
    control_propensity: float | None = None
    canary_version: str | None = None
    canary_share: float | None = None

    @property
    def is_alert_of_model(self) -> bool:
        """Whether the model alone makes this an alert, so that the features explain it."""
        return self.action is not Action.APPROVE and self.model_action not in {None, Action.APPROVE}


class ScorableRows(NamedTuple):
    """n transactions that the model decides: features, float32 [n, features], and what the policy needs of each.

    `amounts_minor`: float64 [n], in minor units of the policy's currency; `channels`: int64 [n], as of `channels_of`.
    """

    features: NDArray[np.float32]
    amounts_minor: NDArray[np.float64]
    channels: NDArray[np.int64]
    transactions: Sequence[Transaction]


ScoreRows: TypeAlias = Callable[[ScorableRows], Scores | DegradedReason]
"""Scores rows, or returns why it cannot."""


class Scored(NamedTuple):
    """Folded transactions with the scores of those that the model decides, in their order.

    `degraded`: for each transaction the reason why the rules decide it, None where the model does. `rows` are the
    others, and `scores` theirs; without scores both are None.
    """

    folded: FoldedTransactions
    degraded: Sequence[DegradedReason | None]
    rows: ScorableRows | None
    scores: Scores | None


def decide(
    policy: DecisionPolicy,
    folded: FoldedTransactions,
    score_rows: ScoreRows,
    unavailable: DegradedReason | None = None,
    control: ControlSample | None = None,
) -> list[Outcome]:
    """Return the outcome for each folded transaction: `score`, then `apply_policy`.

    >>> from cardwatch.decision.folding import cards_of, fold_transactions
    >>> from cardwatch.events import EPOCH, Channel
    >>> from cardwatch.features.reference_table import ReferenceTable
    >>> from cardwatch.features.state import empty_states
    >>> transaction = Transaction(
    ...     transaction_id="t-1", card_id="c-1", merchant_id="m-1", occurred_at=EPOCH, amount_minor=1_000,
    ...     currency="EUR", merchant_category="5411", channel=Channel.CHIP, country="DE",
    ... )
    >>> class Tables:
    ...     def newest(self, at): return ReferenceTable.empty()
    >>> cards, card_index = cards_of([transaction])
    >>> folded = fold_transactions(Tables(), empty_states(len(cards)), card_index, [transaction])
    >>> timeout = DegradedReason(DegradationCause.SCORING, "no answer within 5 s")
    >>> [outcome] = decide(DecisionPolicy(), folded, lambda rows: timeout)
    >>> outcome.action.value, outcome.probability, outcome.degraded_reason.text
    ('approve', None, 'no answer within 5 s')
    """
    return apply_policy(policy, score(policy, folded, score_rows, unavailable), control)


def score(
    policy: DecisionPolicy, folded: FoldedTransactions, score_rows: ScoreRows, unavailable: DegradedReason | None = None
) -> Scored:
    """Score the folded transactions that the model decides.

    The rules decide a transaction if `unavailable` gives a reason, if its reference table is stale or damaged, if
    the policy has no rate for its currency, or if `score_rows` returns a reason instead of scores. `score_rows` is
    called at most once, with all remaining rows.
    """
    reasons = [unavailable or _table_reason(choice) for choice in folded.tables]
    rates: list[float | None] = [policy.rate_of(transaction.currency) for transaction in folded.transactions]
    if None in rates:
        reasons = [
            reason or (missing_rate(policy, transaction.currency) if rate is None else None)
            for reason, rate, transaction in zip(reasons, rates, folded.transactions, strict=True)
        ]
    features, transactions = folded.rows.features, folded.transactions
    if any(reasons):
        scorable = [i for i, reason in enumerate(reasons) if reason is None]
        features, transactions = features[scorable], [transactions[i] for i in scorable]
        rates = [rates[i] for i in scorable]
    amounts_minor = np.array([transaction.amount_minor for transaction in transactions], np.float64)
    amounts_minor *= np.array(rates, np.float64)
    if not transactions:
        return Scored(folded, reasons, None, None)
    rows = ScorableRows(features, amounts_minor, channels_of(features), transactions)
    scores = score_rows(rows)
    if isinstance(scores, DegradedReason):
        return Scored(folded, [reason or scores for reason in reasons], None, None)
    return Scored(folded, reasons, rows, scores)


def apply_policy(policy: DecisionPolicy, scored: Scored, control: ControlSample | None = None) -> list[Outcome]:
    """Return the outcome for each scored transaction.

    1. The cost policy decides where there is a score, else the degraded rules.
    2. The rules of the policy file make decisions stricter.
    3. Of the declines that only the model wants, `control` chooses those of the policy's control share.

    Raises `ValueError` if the policy has a control share and `control` is None.
    """
    require_control(policy, control)
    reasons, rows, scores = scored.degraded, scored.rows, scored.scores
    outcomes = [] if rows is None or scores is None else _decide_by_model(policy, rows, scores)
    if len(outcomes) < len(reasons):
        either = iter(outcomes), iter(_decide_by_rules(policy, scored.folded.rows.features, reasons))
        outcomes = [next(either[reason is not None]) for reason in reasons]
    overlays = _apply_rules(policy, scored.folded, outcomes) if policy.rules else {}
    if control is not None and policy.control.share and rows is not None:
        _approve_control_share(policy, rows, outcomes, overlays.keys(), control)
    return outcomes


def require_control(policy: DecisionPolicy, control: ControlSample | None) -> None:
    """Raise `ValueError` if the policy has a control share and nothing chooses its transactions."""
    if policy.control.share and control is None:
        raise ValueError("the policy has a control share, so a ControlSample is needed")


def query_scorer(scorer: Scorer, policy: DecisionPolicy, rows: ScorableRows) -> Scores | DegradedReason:
    """Query a remote scorer, with reasons for all rows that may become alerts.

    With the first two arguments bound it is a `ScoreRows`.
    """
    try:
        return scorer.score(
            rows.features,
            policy.alarming_probabilities(rows.amounts_minor, rows.channels),
            schema_hash=SCHEMA_HASH,
            transaction_ids=[transaction.transaction_id for transaction in rows.transactions],
        )
    except NoModelServed as error:
        return DegradedReason(DegradationCause.NO_CHAMPION, str(error))
    except ScoringUnavailable as error:
        return DegradedReason(DegradationCause.SCORING, str(error))
    except ModelRefused as error:
        return DegradedReason(DegradationCause.MODEL, str(error))


def missing_rate(policy: DecisionPolicy, currency: str) -> DegradedReason:
    """Return the reason why the rules decide transactions in a currency for which the policy has no rate."""
    text = f"the policy, whose costs are in {policy.currency}, has no rate for {currency}"
    return DegradedReason(DegradationCause.CURRENCY, text)


def _table_reason(choice: TableChoice) -> DegradedReason | None:
    text = choice.degraded_reason
    return None if text is None else DegradedReason(DegradationCause.TABLE, text)


def _decide_by_model(policy: DecisionPolicy, rows: ScorableRows, scores: Scores) -> list[Outcome]:
    if scores.canary is not None:
        return _decide_with_canary(policy, rows, scores, scores.canary)
    shadow, no_shadow = scores.shadow, [None] * len(scores.margins)
    version, digest = scores.model_version, scores.model_digest
    shadow_version = shadow.model_version if shadow else None
    return [
        Outcome(
            action,
            [] if action is Action.APPROVE else list(codes),
            None,
            version,
            digest,
            margin,
            probability,
            shadow_version,
            shadow_margin,
            shadow_probability,
            action,
        )
        for action, codes, margin, probability, shadow_margin, shadow_probability in zip(
            policy.decide(scores.probabilities, rows.amounts_minor, rows.channels),
            scores.reasons,
            scores.margins.tolist(),
            scores.probabilities.tolist(),
            shadow.margins.tolist() if shadow else no_shadow,
            shadow.probabilities.tolist() if shadow else no_shadow,
            strict=True,
        )
    ]


def _decide_with_canary(policy: DecisionPolicy, rows: ScorableRows, scores: Scores, canary: Canary) -> list[Outcome]:
    """Return the outcomes, by the canary for its share of the cards and by the champion for all others.

    The scores of the other model are recorded too, so that both can be compared on the same transactions.
    """
    cards = [transaction.card_id for transaction in rows.transactions]
    by_canary = is_decided_by_canary(cards, canary.model_version, canary.share)
    both: tuple[tuple[Scores | Canary, Scores | Canary], ...] = ((scores, canary), (canary, scores))
    margins = np.stack((scores.margins, canary.margins)).tolist()
    probabilities = np.stack((scores.probabilities, canary.probabilities))
    deciding = np.where(by_canary, canary.probabilities, scores.probabilities)
    actions = policy.decide(deciding, rows.amounts_minor, rows.channels)
    outcomes = []
    for row, (action, decides) in enumerate(zip(actions, by_canary.astype(int).tolist(), strict=True)):
        model, other = both[decides]
        outcomes.append(
            Outcome(
                action,
                [] if action is Action.APPROVE else list(model.reasons[row]),
                None,
                model.model_version,
                model.model_digest,
                margins[decides][row],
                float(probabilities[decides, row]),
                other.model_version,
                margins[1 - decides][row],
                float(probabilities[1 - decides, row]),
                action,
                canary_version=canary.model_version,
                canary_share=canary.share,
            )
        )
    return outcomes


def _decide_by_rules(
    policy: DecisionPolicy, features: NDArray[np.float32], reasons: Sequence[DegradedReason | None]
) -> list[Outcome]:
    """Return the outcomes of the rows that have a reason."""
    chosen = [i for i, reason in enumerate(reasons) if reason is not None]
    actions, codes = policy.decide_by_rules(features[chosen])
    return [Outcome(*outcome) for outcome in zip(actions, codes, [reasons[i] for i in chosen], strict=True)]


def _apply_rules(policy: DecisionPolicy, folded: FoldedTransactions, outcomes: list[Outcome]) -> dict[int, Overlay]:
    """Make `outcomes` stricter where rules of the policy file ask for it, and return what they ask for."""
    overlays = evaluate_rules(
        policy.rules, folded.rows.features, folded.transactions, challenge_channels=policy.challenge_channels
    )
    for row, overlay in overlays.items():
        outcome = outcomes[row]
        outcomes[row] = structs.replace(
            outcome, action=stricter(outcome.action, overlay.action), reasons=[*overlay.reasons, *outcome.reasons]
        )
    return overlays


def _approve_control_share(
    policy: DecisionPolicy,
    rows: ScorableRows,
    outcomes: list[Outcome],
    overlaid: Collection[int],
    control: ControlSample,
) -> None:
    """Approve the chosen part of the declines that the model wants and no rule of the policy file has touched."""
    by_model = [row for row, outcome in enumerate(outcomes) if outcome.degraded_reason is None]
    is_candidate = np.array([outcomes[row].model_action is Action.DECLINE and row not in overlaid for row in by_model])
    for scored in np.flatnonzero(policy.control.covers(is_candidate, rows.amounts_minor)).tolist():
        if control.contains(rows.transactions[scored].transaction_id, policy.control.share):
            row = by_model[scored]
            outcomes[row] = structs.replace(
                outcomes[row], action=Action.APPROVE, reasons=[], control_propensity=policy.control.share
            )
