"""Decisions as the generator needs them: which action each transaction of a simulated day got."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from adapters.kafka.consumer import LogReader
from adapters.kafka.progress import OnSkipped
from adapters.kafka.topics import end_offsets
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.errors import InvalidRecord
from cardwatch.events import Action, Transaction, decode_with
from cardwatch.records import Record
from cardwatch.topics import DECISIONS

_POSITIONS: Final = {action: position for position, action in enumerate(Action)}


class _DecidedTransaction(Struct):
    transaction_id: str


class _ReadDecision(Struct):
    transaction: _DecidedTransaction
    action: Action


_DECODER: Final = msgspec.json.Decoder(_ReadDecision)


class DecidedActions:
    """The actions on transactions, as far as they are known. The first decision on a transaction counts."""

    def __init__(self) -> None:
        self._actions: dict[str, int] = {}

    def add(self, value: bytes | None) -> None:
        """Add a record of the topic `decisions`; raises `InvalidRecord`."""
        decision = decode_with(_DECODER, value or b"")
        self._actions.setdefault(decision.transaction.transaction_id, _POSITIONS[decision.action])

    def undecided(self, transactions: Sequence[Transaction]) -> int:
        """Return how many of these transactions have no decision yet."""
        return sum(each.transaction_id not in self._actions for each in transactions)

    def take(self, transactions: Sequence[Transaction]) -> NDArray[np.int8]:
        """Return the action on each transaction, int8 [n], by its position in `Action`, and forget them.

        Raises `KeyError` if one is undecided.
        """
        actions = np.array([self._actions[each.transaction_id] for each in transactions], np.int8)
        for each in transactions:
            self._actions.pop(each.transaction_id, None)
        return actions


class DecisionReader:
    """Follows the topic `decisions` from its beginning, because a restarted generator needs those of all live days."""

    def __init__(self, broker: KafkaConnection, on_skipped: OnSkipped) -> None:
        self._reader = LogReader(broker, {(DECISIONS, partition): 0 for partition in end_offsets(broker, DECISIONS)})
        self._on_skipped = on_skipped
        self.actions = DecidedActions()

    def poll(self, timeout_seconds: float) -> None:
        """Read the next decisions. Records that are none are passed over and reported."""
        for record in self._reader.poll(timeout_seconds):
            self._add(record)

    def close(self) -> None:
        """Close the connections."""
        self._reader.close()

    def _add(self, record: Record) -> None:
        try:
            self.actions.add(record.value)
        except InvalidRecord as error:
            self._on_skipped(record, error)
