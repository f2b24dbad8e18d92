"""At DEBUG, a log line for each transaction that was asked about. Below it none: a line costs as much as a score."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from adapters.runtime.logs import about
from cardwatch.ports import Scores
from services.scoring.api.explanation import Explanation
from services.scoring.api.preview import Preview

log = logging.getLogger(__name__)


def is_asked_for() -> bool:
    """Whether anybody would see the lines. The level is set once, before there is a request."""
    return log.isEnabledFor(logging.DEBUG)


def tell_of_answers(answers: Sequence[Preview], took_seconds: float) -> None:
    """Answers to questions about transactions, all of one request."""
    for answer in answers:
        log.debug(
            "answered %s%s, probability %s, version %s, sequence %s, %.2f ms",
            "that it is a repeat" if answer.action is None else answer.action.value,
            " by the rules" if answer.degraded else "",
            _shown(answer.probability),
            answer.model_version or "none",
            "unknown" if answer.sequence is None else answer.sequence,
            took_seconds * 1e3,
            extra=about(answer.transaction_id),
        )


def tell_of_explanation(transaction_id: str, explanation: Explanation) -> None:
    """Why a transaction would be scored as it would be."""
    log.debug(
        "explained probability %s, version %s, sequence %s",
        _shown(explanation.probability),
        explanation.model_version,
        explanation.sequence,
        extra=about(transaction_id),
    )


def tell_of_scores(transaction_ids: Sequence[str], scores: Scores) -> None:
    """Scores of feature rows: of the first ones, as far as the caller has said whose they are."""
    for transaction_id, probability in zip(transaction_ids, scores.probabilities.tolist(), strict=False):
        if transaction_id:
            log.debug(
                "scored probability %s, version %s",
                _shown(probability),
                scores.model_version,
                extra=about(transaction_id),
            )


def _shown(probability: float | None) -> str:
    return "none" if probability is None else f"{probability:.4f}"
