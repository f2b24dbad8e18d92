"""Log lines about single transactions, at DEBUG only: writing one takes as long as a score."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from adapters.runtime.logs import about
from cardwatch.decision.records import Preview
from cardwatch.ports import Scores
from services.scoring.api.explanation import Explanation

log = logging.getLogger(__name__)


def debug_enabled() -> bool:
    """Return whether the lines are logged. The level does not change after the start."""
    return log.isEnabledFor(logging.DEBUG)


def log_previews(previews: Sequence[Preview], seconds: float) -> None:
    """Log the previews of one request, which took `seconds`."""
    for preview in previews:
        log.debug(
            "answered %s%s, probability %s, version %s, sequence %s, %.2f ms",
            "that it is a repeat" if preview.action is None else preview.action.value,
            " by the rules" if preview.degraded else "",
            _formatted(preview.probability),
            preview.model_version or "none",
            "unknown" if preview.sequence is None else preview.sequence,
            seconds * 1e3,
            extra=about(preview.transaction_id),
        )


def log_explanation(transaction_id: str, explanation: Explanation) -> None:
    """Log the explanation of a transaction."""
    log.debug(
        "explained probability %s, version %s, sequence %s",
        _formatted(explanation.probability),
        explanation.model_version,
        explanation.sequence,
        extra=about(transaction_id),
    )


def log_scores(transaction_ids: Sequence[str], scores: Scores) -> None:
    """Log the scores of the first rows, as far as `transaction_ids` names their transactions."""
    for transaction_id, probability in zip(transaction_ids, scores.probabilities.tolist(), strict=False):
        if transaction_id:
            log.debug(
                "scored probability %s, version %s",
                _formatted(probability),
                scores.model_version,
                extra=about(transaction_id),
            )


def _formatted(probability: float | None) -> str:
    return "none" if probability is None else f"{probability:.4f}"
