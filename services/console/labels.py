"""Labels that a visitor of the page gives, as an investigator does."""

from __future__ import annotations

import logging

from msgspec import Struct

from adapters.records.labelling import write_label
from adapters.records.printable import printable
from adapters.runtime.settings import Settings
from cardwatch.cases.labels import investigator_label
from cardwatch.errors import Misconfigured
from cardwatch.events import Decision, Label, decode
from cardwatch.live.topic_state import TopicState

log = logging.getLogger(__name__)


class LabelRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The label of the decided transaction at a position of `transactions`."""

    partition: int
    offset: int
    is_fraud: bool


class Labeller:
    """Writes labels to the topic `labels`. Only the newest decisions can be labelled here."""

    def __init__(self, settings: Settings, state: TopicState) -> None:
        self._settings, self._state = settings, state

    def label(self, asked: LabelRequest) -> Label:
        """Write a label, observed at the newest event time, and return it once it is in the log.

        Raises `Misconfigured` if the decision is none of the newest, and `BrokerUnavailable`.
        """
        record = self._state.record(asked.partition, asked.offset)
        if record is None:
            raise Misconfigured(
                f"the decision at {asked.partition}:{asked.offset} is none of the newest that the console keeps: "
                f"type `cardwatch label {asked.partition}:{asked.offset} --{'fraud' if asked.is_fraud else 'genuine'}`"
            )
        transaction = decode(record, Decision).transaction
        now = self._state.event_time() or transaction.occurred_at
        label = investigator_label(transaction, is_fraud=asked.is_fraud, now=now)
        log.info("audit: label %s is_fraud=%s", printable(label.transaction_id), label.is_fraud)
        write_label(self._settings, label)
        return label
