"""The decision path: the model decides where there is a score, the rules decide where there is none.

    feature rows, reference tables -> scores, or the reason why there are none -> cost policy, or rules -> outcomes

The stream worker, `/v1/score` and both AWS functions call `decide`. They differ only in where card states and scores
come from and in what they write.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple, TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.decision.folding import FoldedTransactions
from cardwatch.errors import ModelRefused, NoModelServed, ScoringUnavailable
from cardwatch.events import Action, Transaction
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.features.reference_choice import TableChoice
from cardwatch.ports import Scorer, Scores


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


class DegradedReason(NamedTuple):
    """The reason why the rules decided: its cause, which is counted, and its text, which decisions record."""

    cause: DegradationCause
    text: str


class Outcome(Struct, frozen=True, gc=False):
    """The decision about one transaction, by the model or by the rules.

    `degraded_reason` is None where the model decided. Where the rules decided, everything after it is None. `margin`
    is the model's raw score (higher is riskier), `probability` the calibrated one; `shadow_*` is what the challenger
    gave for the same row, if there is one.
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


ScoreRows: TypeAlias = Callable[
    [NDArray[np.float32], NDArray[np.float64], Sequence[Transaction]], Scores | DegradedReason
]
"""Scores feature rows, float32 [n, features], or returns why it cannot. Also gets the amounts in minor units,
float64 [n], and the transactions of these rows."""


class Scored(NamedTuple):
    """Folded transactions with the scores of those that the model decides, in their order.

    `degraded`: for each transaction the reason why the rules decide it, None where the model does. `amounts_minor`:
    float64 [scored], in minor units. `scores` is None if the model decides none.
    """

    folded: FoldedTransactions
    degraded: Sequence[DegradedReason | None]
    amounts_minor: NDArray[np.float64]
    scores: Scores | None


def decide(
    policy: DecisionPolicy, folded: FoldedTransactions, score_rows: ScoreRows, unavailable: DegradedReason | None = None
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
    >>> [outcome] = decide(DecisionPolicy(), folded, lambda rows, amounts, transactions: timeout)
    >>> outcome.action.value, outcome.probability, outcome.degraded_reason.text
    ('approve', None, 'no answer within 5 s')
    """
    return apply_policy(policy, score(folded, score_rows, unavailable))


def score(folded: FoldedTransactions, score_rows: ScoreRows, unavailable: DegradedReason | None = None) -> Scored:
    """Score the folded transactions that the model decides.

    The rules decide a transaction if `unavailable` gives a reason, if its reference table is stale or damaged, or if
    `score_rows` returns a reason instead of scores. `score_rows` is called at most once, with all remaining rows.
    """
    reasons = [unavailable or _table_reason(choice) for choice in folded.tables]
    features, transactions = folded.rows.features, folded.transactions
    if any(reasons):
        scorable = [i for i, reason in enumerate(reasons) if reason is None]
        features, transactions = features[scorable], [transactions[i] for i in scorable]
    amounts_minor = np.array([transaction.amount_minor for transaction in transactions], np.float64)
    scores = score_rows(features, amounts_minor, transactions) if transactions else None
    if isinstance(scores, DegradedReason):
        return Scored(folded, [reason or scores for reason in reasons], np.empty(0), None)
    return Scored(folded, reasons, amounts_minor, scores)


def apply_policy(policy: DecisionPolicy, scored: Scored) -> list[Outcome]:
    """Return the outcome for each scored transaction: by the cost policy where there is a score, else by the rules."""
    reasons, scores = scored.degraded, scored.scores
    by_model = [] if scores is None else _decide_by_model(policy, scored.amounts_minor, scores)
    if len(by_model) == len(reasons):
        return by_model
    outcomes = iter(by_model), iter(_decide_by_rules(policy, scored.folded.rows.features, reasons))
    return [next(outcomes[reason is not None]) for reason in reasons]


def query_scorer(
    scorer: Scorer,
    policy: DecisionPolicy,
    rows: NDArray[np.float32],
    amounts_minor: NDArray[np.float64],
    transactions: Sequence[Transaction],
) -> Scores | DegradedReason:
    """Query a remote scorer, with reasons for all rows that may become alerts.

    With the first two arguments bound it is a `ScoreRows`.
    """
    try:
        return scorer.score(
            rows,
            policy.alarming_probabilities(amounts_minor),
            schema_hash=SCHEMA_HASH,
            transaction_ids=[transaction.transaction_id for transaction in transactions],
        )
    except NoModelServed as error:
        return DegradedReason(DegradationCause.NO_CHAMPION, str(error))
    except ScoringUnavailable as error:
        return DegradedReason(DegradationCause.SCORING, str(error))
    except ModelRefused as error:
        return DegradedReason(DegradationCause.MODEL, str(error))


def _table_reason(choice: TableChoice) -> DegradedReason | None:
    text = choice.degraded_reason
    return None if text is None else DegradedReason(DegradationCause.TABLE, text)


def _decide_by_model(policy: DecisionPolicy, amounts_minor: NDArray[np.float64], scores: Scores) -> list[Outcome]:
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
        )
        for action, codes, margin, probability, shadow_margin, shadow_probability in zip(
            policy.decide(scores.probabilities, amounts_minor),
            scores.reasons,
            scores.margins.tolist(),
            scores.probabilities.tolist(),
            shadow.margins.tolist() if shadow else no_shadow,
            shadow.probabilities.tolist() if shadow else no_shadow,
            strict=True,
        )
    ]


def _decide_by_rules(
    policy: DecisionPolicy, features: NDArray[np.float32], reasons: Sequence[DegradedReason | None]
) -> list[Outcome]:
    """Return the outcomes of the rows that have a reason."""
    chosen = [i for i, reason in enumerate(reasons) if reason is not None]
    actions, codes = policy.decide_by_rules(features[chosen])
    return [Outcome(*outcome) for outcome in zip(actions, codes, [reasons[i] for i in chosen], strict=True)]
