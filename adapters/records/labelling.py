"""Labels of an investigator: what a person says about a decided transaction, written to the topic `labels`."""

from __future__ import annotations

from adapters.kafka.producer import LogWriter
from adapters.runtime.settings import Settings
from cardwatch.events import Label, encode
from cardwatch.topics import LABELS

TIMEOUT_SECONDS = 15.0


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
