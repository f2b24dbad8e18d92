"""Executions of a state machine: started, or found, and followed to their end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Final

from adapters.aws.clients import aws_client
from cardwatch.errors import CardwatchError

POLL_SECONDS: Final = 0.5
_ENTERED: Final = "stateEnteredEventDetails"
_FAILED: Final = "taskFailedEventDetails"
_CAUSE_CHARACTERS: Final = 1_500


class StateMachine:
    """The state machine with this ARN. `report` hears the name of each state that is entered."""

    def __init__(self, arn: str, report: Callable[[str], object], *, region: str) -> None:
        self._arn, self._report = arn, report
        self._client = aws_client("stepfunctions", region=region)

    def run(self, name: str, given: dict[str, Any], *, patience_seconds: float) -> None:
        """Start an execution and follow it; raises `CardwatchError` with its error and cause if it fails."""
        started = self._client.start_execution(stateMachineArn=self._arn, name=name, input=json.dumps(given))
        self.follow(started["executionArn"], patience_seconds=patience_seconds)

    def newest(self, *, patience_seconds: float) -> str:
        """The ARN of the newest execution, waited for if there is none yet."""
        deadline = time.monotonic() + patience_seconds
        while not (found := self._client.list_executions(stateMachineArn=self._arn)["executions"]):
            if time.monotonic() > deadline:
                raise CardwatchError(f"{self._arn} was not started within {patience_seconds:g} s")
            time.sleep(POLL_SECONDS)
        return str(max(found, key=lambda each: each["startDate"])["executionArn"])

    def follow(self, execution: str, *, patience_seconds: float) -> None:
        """Wait for the end of an execution, see `run`."""
        deadline, told = time.monotonic() + patience_seconds, 0
        while True:
            found = self._client.describe_execution(executionArn=execution)
            entered = self._entered(execution)
            for state in entered[told:]:
                self._report(state)
            told = len(entered)
            if found["status"] == "SUCCEEDED":
                return
            if found["status"] != "RUNNING" or time.monotonic() > deadline:
                why = f"{found.get('error', 'it was not at its end in time')}: {found.get('cause', '')}"
                raise CardwatchError(f"{execution} is {found['status']}: {self._cause(execution) or why}")
            time.sleep(POLL_SECONDS)

    def _entered(self, execution: str) -> list[str]:
        return [event[_ENTERED]["name"] for event in self._events(execution) if _ENTERED in event]

    def _cause(self, execution: str) -> str:
        """Why the first task failed, if one did: for a job the reason that it gives itself."""
        causes = [event[_FAILED].get("cause", "") for event in self._events(execution) if _FAILED in event]
        if not causes:
            return ""
        try:
            return str(json.loads(causes[0])["FailureReason"])
        except (ValueError, KeyError, TypeError):
            return str(causes[0])[:_CAUSE_CHARACTERS]

    def _events(self, execution: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = self._client.get_execution_history(executionArn=execution, maxResults=1000)[
            "events"
        ]
        return events
