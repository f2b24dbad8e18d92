"""EventBridge: what the jobs tell of the system, for whoever has a rule for it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from adapters.aws.clients import answering, aws_client
from cardwatch.errors import Unavailable
from cardwatch.progress import RetrainingStarted

SOURCE: Final = "cardwatch"
DRIFT: Final = "DriftDetected"


class EventBus:
    """The bus `name`. `client` is for tests.

    Every call raises `Unavailable` if EventBridge does not answer or does not take an event now, `Misconfigured` if it
    refuses: no such bus, no right to do so.
    """

    def __init__(self, name: str, *, client: Any = None) -> None:
        self._name, self._client = name, client or aws_client("events")

    def ask_for_retraining(self, started: RetrainingStarted) -> None:
        """Put the event that starts a retraining: its detail is {day, reasons, champion_version}."""
        detail = {"day": started.day, "reasons": started.reasons, "champion_version": started.champion_version}
        entry = {
            "EventBusName": self._name,
            "Source": SOURCE,
            "DetailType": DRIFT,
            "Detail": msgspec.json.encode(detail).decode(),
        }
        with answering(f"event bus {self._name}"):
            answer = self._client.put_events(Entries=[entry])
        if answer["FailedEntryCount"]:
            raise Unavailable(f"event bus {self._name} has not taken an event: {answer['Entries'][0]}")
