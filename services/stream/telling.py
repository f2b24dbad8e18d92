"""Log lines about single transactions: what was not simply approved, and at DEBUG every decision."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from adapters.logs import about
from cardwatch.events import Action, Decision
from services.stream.batch import Batch

log = logging.getLogger(__name__)


def tell(batches: Sequence[Batch], decisions: Sequence[Sequence[Decision]]) -> None:
    """Tell of committed batches.

    A line for every degraded decision would be a flood in an outage: `deciding` has said it for the batch.
    """
    for batch in batches:
        for letter in batch.dead_letters:
            log.info("%s[%d] %d is a dead letter: %s", letter.topic, letter.partition, letter.offset, letter.reason)
        if repeats := int(batch.folded.duplicates.sum()):
            log.info("transactions[%d]: %d were decided before", batch.partition, repeats)
    everything = log.isEnabledFor(logging.DEBUG)
    for decision in (decision for of_batch in decisions for decision in of_batch):
        alarming = decision.action is not Action.APPROVE and not decision.degraded
        if alarming or everything:
            log.log(
                logging.INFO if alarming else logging.DEBUG,
                "transactions[%d] %d: %s%s, probability %s, version %s",
                decision.partition,
                decision.offset,
                decision.action.value,
                " by the rules" if decision.degraded else "",
                "none" if decision.probability is None else f"{decision.probability:.4f}",
                decision.model_version or "none",
                extra=about(decision.transaction.transaction_id),
            )
