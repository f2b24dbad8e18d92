"""Log lines about committed batches: one line for each alert and dead letter, at DEBUG for each decision.

Decisions by the rules are summed up, so that an outage does not fill the log.
"""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from adapters.runtime.logs import about
from cardwatch.decision.decide import DegradationCause, DegradedReason
from cardwatch.events import Action, DeadLetter, Decision
from services.stream.batch import Batch
from services.stream.decision_engine import DecidedBatches

SUMMARY_SECONDS: Final = 10.0
"""Minimum time between two lines about decisions by the rules for the same cause. During an outage batches are small
and follow each other quickly."""
MAX_CHARACTERS: Final = 200
"""Maximum length of a dead letter's reason in the log; the dead letter itself holds the full text."""
_LONG_NUMBER: Final = re.compile(r"\d(?:[ -]?\d){12,}")

log = logging.getLogger(__name__)


class DecisionLog:
    """Logs committed batches. `now_seconds` is a monotonic clock."""

    def __init__(self, now_seconds: Callable[[], float] = time.monotonic) -> None:
        self._now_seconds = now_seconds
        self._next_summary: dict[DegradationCause, float] = {}
        self._not_logged: Counter[DegradationCause] = Counter()

    def log_committed(self, batches: Sequence[Batch], decided: DecidedBatches) -> None:
        """Log the decisions, repeats and dead letters of committed batches."""
        for batch in batches:
            for letter in batch.dead_letters:
                _log_dead_letter(letter)
            if repeats := int(batch.folded.rows.duplicates.sum()):
                log.info("transactions[%d]: %d were decided before", batch.partition, repeats)
        self._log_degraded(decided.degraded)
        debug_enabled = log.isEnabledFor(logging.DEBUG)
        for decision in decided.decisions:
            is_alert = decision.action is not Action.APPROVE and not decision.degraded
            if is_alert or debug_enabled:
                _log_decision(logging.INFO if is_alert else logging.DEBUG, decision)

    def _log_degraded(self, degraded: Counter[DegradedReason]) -> None:
        """Log the first decisions of an outage immediately, the others every `SUMMARY_SECONDS` and after its end."""
        now_seconds = self._now_seconds()
        texts = {reason.cause: reason.text for reason in degraded}
        for reason, number in degraded.items():
            self._not_logged[reason.cause] += number
        for cause in sorted({*texts, *self._next_summary}):
            if now_seconds < self._next_summary.get(cause, now_seconds):
                continue
            if number := self._not_logged.pop(cause, 0):
                log.warning("the rules have decided %d transactions: %s", number, texts.get(cause, "it is over now"))
            if cause in texts:
                self._next_summary[cause] = now_seconds + SUMMARY_SECONDS
            else:
                del self._next_summary[cause]


def _log_decision(level: int, decision: Decision) -> None:
    log.log(
        level,
        "transactions[%d] %d: %s%s, probability %s, version %s",
        decision.partition,
        decision.offset,
        decision.action.value,
        " by the rules" if decision.degraded else "",
        "none" if decision.probability is None else f"{decision.probability:.4f}",
        decision.model_version or "none",
        extra=about(decision.transaction.transaction_id),
    )


def _log_dead_letter(letter: DeadLetter) -> None:
    position = f"{letter.topic}[{letter.partition}] {letter.offset}"
    log.info("%s is a dead letter: %s", position, sanitize(letter.reason))


def sanitize(reason: str) -> str:
    """Return a reason, which may quote the record, on one line, shortened, and without card numbers."""
    shown = _LONG_NUMBER.sub("(a number)", reason).encode("unicode_escape").decode()
    return shown if len(shown) <= MAX_CHARACTERS else shown[:MAX_CHARACTERS] + "..."
