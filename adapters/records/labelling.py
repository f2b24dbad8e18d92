"""Labels of an investigator: what a person says about a decided transaction, written to the topic `labels`."""

from __future__ import annotations

from datetime import datetime

from adapters.kafka.producer import LogWriter
from adapters.runtime.settings import Settings
from cardwatch.events import Label, LabelSource, Transaction, encode
from cardwatch.topics import LABELS

TIMEOUT_SECONDS = 15.0


def investigator_label(transaction: Transaction, *, is_fraud: bool, now: datetime) -> Label:
    """Return the label that an investigator gives at the event time `now`, and not before the transaction.

    It is effective as of the transaction, like every label. The reference table of a day uses labels that were observed
    before it, so that in a simulated world a label with the time of the wall clock would never count.
    """
    return Label(
        transaction_id=transaction.transaction_id,
        card_id=transaction.card_id,
        merchant_id=transaction.merchant_id,
        is_fraud=is_fraud,
        effective_at=transaction.occurred_at,
        observed_at=max(now, transaction.occurred_at),
        source=LabelSource.INVESTIGATOR,
    )


def write_label(settings: Settings, label: Label) -> None:
    """Write a label, keyed by card as all labels are; return when it is in the log.

    Raises `BrokerUnavailable` if the broker does not take it. To write it again is safe: of several labels of a
    transaction the newest counts.
    """
    writer = LogWriter(
        settings.kafka, partitioner=settings.partitioner, delivery_timeout_ms=int(TIMEOUT_SECONDS * 1000)
    )
    try:
        writer.write(LABELS, label.card_id, encode(label))
        writer.flush(TIMEOUT_SECONDS)
    finally:
        writer.close()
