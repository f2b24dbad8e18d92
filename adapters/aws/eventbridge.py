"""EventBridge: events of batch jobs, to which rules react."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from adapters.aws.clients import aws_client, translated_errors
from cardwatch.errors import Unavailable
from cardwatch.progress import RetrainingStarted

SOURCE: Final = "cardwatch"
DRIFT: Final = "DriftDetected"


class EventBus:
    """The bus `name`. `client` is for tests.

    Every call raises `Unavailable` if EventBridge does not answer or does not accept an event now, and `Misconfigured`
    if there is no such bus or no permission.
    """

    def __init__(self, name: str, *, client: Any = None) -> None:
        self._name, self._client = name, client or aws_client("events")

    def request_retraining(self, started: RetrainingStarted) -> None:
        """Send the event that starts a retraining. Its detail is {day, reasons, champion_version}."""
        detail = {"day": started.day, "reasons": started.reasons, "champion_version": started.champion_version}
        entry = {
            "EventBusName": self._name,
            "Source": SOURCE,
            "DetailType": DRIFT,
            "Detail": msgspec.json.encode(detail).decode(),
        }
        with translated_errors(f"event bus {self._name}"):
            answer = self._client.put_events(Entries=[entry])
        if answer["FailedEntryCount"]:
            raise Unavailable(f"event bus {self._name} has not accepted an event: {answer['Entries'][0]}")
