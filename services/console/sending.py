"""Transactions sent from the page: what is offered, what would be decided, and each hop of those that are sent."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from typing import Final
from uuid import uuid4

import msgspec
from msgspec import Struct

from adapters.kafka.producer import LogWriter
from adapters.records.delivery import Delivery, DeliveryOutcome, LoggedTransaction, delivery_writer
from adapters.records.printable import printable
from adapters.runtime.settings import Settings
from adapters.scoring.client import PreviewClient
from adapters.scoring.wire_format import ShownPreview
from cardwatch.errors import BrokerUnavailable, CardwatchError, Misconfigured
from cardwatch.events import Action, Transaction
from cardwatch.live.topic_state import TopicState
from cardwatch.simulation.presets import Preset, PresetBuilder, presets
from cardwatch.simulation.settings import SimulationSettings

TIMEOUT_SECONDS: Final = 20.0
"""Time for the broker to take the records, and then for their decisions."""
MAX_TRANSACTIONS: Final = 40
MAX_AT_ONCE: Final = 4
"""Number of deliveries that are watched at the same time. Each reads three topics from their end."""
OFFERED_CARDS: Final = 30

log = logging.getLogger(__name__)


class OfferedCard(Struct, frozen=True, kw_only=True):
    """A card of the newest decisions, and how many of them are about it."""

    card_id: str
    decisions: int


class Offers(Struct, frozen=True, kw_only=True):
    """What the form begins with. `at` is the event time of the newest decisions, None before the first."""

    at: datetime | None
    cards: list[OfferedCard]
    presets: list[Preset]


class Hop(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A hop that was reached, `after_ms` milliseconds after the first record was written.

    `acknowledged`: the broker has taken all records. `logged`: a record was read at its position. `decided`: its
    committed decision was read; `latency_ms` is the time from the log to the decision. `repeated`: that decision is an
    earlier one. `rejected`: it is a dead letter. `unanswered` and `failed` end the list with a reason.
    """

    hop: str
    after_ms: float = 0.0
    records: int = 0
    transaction_id: str = ""
    partition: int | None = None
    offset: int | None = None
    action: Action | None = None
    probability: float | None = None
    reasons: list[str] = []
    degraded: bool = False
    latency_ms: float | None = None
    repeated: bool = False
    reason: str = ""


class Sender:
    """Builds, asks about and sends transactions. The writer stays connected, so that a hop is not a connection."""

    def __init__(self, settings: Settings, state: TopicState, client: PreviewClient, world: SimulationSettings) -> None:
        self._settings, self._state, self._client = settings, state, client
        self._presets = PresetBuilder(world)
        self._building = threading.Lock()
        self._slots = threading.BoundedSemaphore(MAX_AT_ONCE)
        self._writing = threading.Lock()
        self._writer: LogWriter | None = None

    def close(self) -> None:
        """Close the connection of the writer."""
        with self._writing:
            self._drop_writer()

    def offers(self) -> Offers:
        """Return cards that were seen lately, the event time, and the presets."""
        with self._state.lock:
            seen = Counter(line.card_id for line in self._state.lines)
        cards = [OfferedCard(card_id=card, decisions=number) for card, number in seen.most_common(OFFERED_CARDS)]
        return Offers(at=self._state.event_time(), cards=cards, presets=presets())

    def preset(self, name: str, card_id: str, at: datetime | None, seed: int) -> list[Transaction]:
        """Return the transactions of a preset, at the newest event time without `at`. Raises `Misconfigured`."""
        moment = at or self._state.event_time()
        if moment is None:
            raise Misconfigured("there is no decision yet, so that the world's time is not known: give a time")
        self._connect_early()
        with self._building:
            return self._presets.build(name, card_id, moment, seed=seed, prefix=f"sent-{uuid4().hex[:12]}")

    def previews(self, transactions: Sequence[Transaction]) -> list[ShownPreview]:
        """Return what would be decided if these came next. Nothing is written."""
        return self._client.previews(transactions)

    def send(self, transactions: Sequence[Transaction]) -> Iterator[bytes]:
        """Write the transactions, and yield a line of JSON, a `Hop`, for each hop as it is reached."""
        if not self._slots.acquire(blocking=False):
            reason = f"{MAX_AT_ONCE} deliveries are being watched already; wait for one of them to end"
            yield _line(Hop(hop="failed", reason=reason))
            return
        try:
            names = ", ".join(printable(each.transaction_id) for each in transactions)
            log.info("audit: send %d transactions: %s", len(transactions), names)
            for hop in self._hops(transactions):
                yield _line(hop)
        except CardwatchError as error:
            yield _line(Hop(hop="failed", reason=str(error)))
        finally:
            self._slots.release()

    def _hops(self, transactions: Sequence[Transaction]) -> Iterator[Hop]:
        with closing(Delivery(self._settings, transactions, TIMEOUT_SECONDS)) as delivery:
            with self._connected() as writer:
                delivery.write_with(writer)
            yield Hop(hop="acknowledged", after_ms=delivery.acknowledged_ms or 0.0, records=len(transactions))
            for step in delivery.steps():
                yield _hop(step)
            if reason := delivery.unanswered():
                yield Hop(hop="unanswered", reason=reason)

    def _connect_early(self) -> None:
        """Open the writer while a person looks at what to send: the first record of a new one takes half a second.

        A writer that cannot be opened is told when something is sent.
        """
        if self._writing.acquire(blocking=False):
            try:
                with suppress(CardwatchError):
                    self._writer = self._writer or delivery_writer(self._settings, TIMEOUT_SECONDS)
            finally:
                self._writing.release()

    @contextmanager
    def _connected(self) -> Iterator[LogWriter]:
        """Lend the writer. One that has failed is closed, so that its records cannot arrive later."""
        with self._writing:
            if self._writer is None:
                self._writer = delivery_writer(self._settings, TIMEOUT_SECONDS)
            try:
                yield self._writer
            except BrokerUnavailable:
                self._drop_writer()
                raise

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _line(hop: Hop) -> bytes:
    return msgspec.json.encode(hop) + b"\n"


def _hop(step: LoggedTransaction | DeliveryOutcome) -> Hop:
    name = step.transaction.transaction_id
    if isinstance(step, LoggedTransaction):
        partition, offset = step.position.partition, step.position.offset
        return Hop(hop="logged", after_ms=step.after_ms, transaction_id=name, partition=partition, offset=offset)
    if (letter := step.letter) is not None:
        return Hop(
            hop="rejected", after_ms=step.after_ms, transaction_id=name, partition=letter.partition,
            offset=letter.offset, reason=printable(f"{letter.field}: {letter.reason}"),
        )  # fmt: skip
    if (decision := step.decision) is None:
        reason = "it was decided before, and its decision is no longer in the topic"
        return Hop(hop="rejected", after_ms=step.after_ms, transaction_id=name, reason=reason)
    return Hop(
        hop="decided",
        after_ms=step.after_ms,
        transaction_id=name,
        partition=decision.partition,
        offset=decision.offset,
        action=decision.action,
        probability=decision.probability,
        reasons=decision.reasons,
        degraded=decision.degraded,
        latency_ms=decision.latency_ms,
        repeated=step.was_decided_before,
    )
