"""Log lines about what was committed: single transactions that were not simply approved, at DEBUG every decision."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from adapters.runtime.logs import about
from cardwatch.events import Action, DeadLetter, Decision
from services.stream.batch import Batch
from services.stream.decider import Cause, Decided, Why

QUIET_SECONDS: Final = 10.0
"""So long nothing more is said of an outage: with nobody to wait for, a batch is one transaction."""
MAX_CHARACTERS: Final = 200
"""Of a dead letter's reason; the letter itself holds all of it."""
_LONG_NUMBER: Final = re.compile(r"\d(?:[ -]?\d){12,}")

log = logging.getLogger(__name__)


class DecisionLog:
    """Tells of committed batches. `now_seconds` is a clock that does not go backwards."""

    def __init__(self, now_seconds: Callable[[], float] = time.monotonic) -> None:
        self._now_seconds = now_seconds
        self._quiet_until: dict[Cause, float] = {}
        self._untold: Counter[Cause] = Counter()

    def tell(self, batches: Sequence[Batch], decided: Decided) -> None:
        """Tell of these."""
        for batch in batches:
            for letter in batch.dead_letters:
                _tell_of_dead_letter(letter)
            if repeats := int(batch.folded.duplicates.sum()):
                log.info("transactions[%d]: %d were decided before", batch.partition, repeats)
        self._tell_of_rules(decided.by_rules)
        everything = log.isEnabledFor(logging.DEBUG)
        for decision in (decision for of_batch in decided.decisions for decision in of_batch):
            alarming = decision.action is not Action.APPROVE and not decision.degraded
            if alarming or everything:
                _tell_of_decision(logging.INFO if alarming else logging.DEBUG, decision)

    def _tell_of_rules(self, by_rules: Counter[Why]) -> None:
        """At once, then every `QUIET_SECONDS`; what is left when it is over comes last."""
        now_seconds = self._now_seconds()
        texts = {why.cause: why.text for why in by_rules}
        for why, number in by_rules.items():
            self._untold[why.cause] += number
        for cause in sorted({*texts, *self._quiet_until}):
            if now_seconds < self._quiet_until.get(cause, now_seconds):
                continue
            if number := self._untold.pop(cause, 0):
                log.warning("the rules have decided %d transactions: %s", number, texts.get(cause, "it is over now"))
            if cause in texts:
                self._quiet_until[cause] = now_seconds + QUIET_SECONDS
            else:
                del self._quiet_until[cause]


def _tell_of_decision(level: int, decision: Decision) -> None:
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


def _tell_of_dead_letter(letter: DeadLetter) -> None:
    where = f"{letter.topic}[{letter.partition}] {letter.offset}"
    log.info("%s is a dead letter: %s", where, harmless(letter.reason))


def harmless(reason: str) -> str:
    """A reason may quote what was sent. This one breaks no line, is not long, and holds no card number."""
    shown = _LONG_NUMBER.sub("(a number)", reason).encode("unicode_escape").decode()
    return shown if len(shown) <= MAX_CHARACTERS else shown[:MAX_CHARACTERS] + "..."
