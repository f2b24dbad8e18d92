"""Executions of a Step Functions state machine, started or found, and followed to their end."""

from __future__ import annotations

import json
from typing import Any, Final

from adapters.aws.clients import aws_client
from adapters.runtime.retry import poll
from cardwatch.errors import CardwatchError
from infra.reporting import Report

POLL_SECONDS: Final = 0.5
_ENTERED: Final = "stateEnteredEventDetails"
_FAILED: Final = "taskFailedEventDetails"
_CAUSE_CHARACTERS: Final = 1_500


class StateMachine:
    """The state machine with this ARN. `report` receives the name of each state that is entered."""

    def __init__(self, arn: str, report: Report, *, region: str) -> None:
        self._arn, self._report = arn, report
        self._client = aws_client("stepfunctions", region=region)

    def run(self, name: str, arguments: dict[str, Any], *, timeout_seconds: float) -> None:
        """Start an execution and follow it; raises as `follow` does."""
        started = self._client.start_execution(stateMachineArn=self._arn, name=name, input=json.dumps(arguments))
        self.follow(started["executionArn"], timeout_seconds=timeout_seconds)

    def await_execution(self, *, timeout_seconds: float) -> str:
        """Return the ARN of the newest execution, after waiting for one if there is none.

        Raises `CardwatchError` if none is started in time.
        """
        executions = poll(
            lambda: self._client.list_executions(stateMachineArn=self._arn)["executions"],
            timeout_seconds=timeout_seconds,
            poll_seconds=POLL_SECONDS,
        )
        if not executions:
            raise CardwatchError(f"{self._arn} was not started within {timeout_seconds:g} s")
        return str(max(executions, key=lambda each: each["startDate"])["executionArn"])

    def follow(self, execution: str, *, timeout_seconds: float) -> None:
        """Wait for the end of an execution; raises `CardwatchError` with its cause if it fails or takes too long."""
        reported = 0

        def describe() -> dict[str, Any]:
            nonlocal reported
            description: dict[str, Any] = self._client.describe_execution(executionArn=execution)
            entered = [event[_ENTERED]["name"] for event in self._events(execution) if _ENTERED in event]
            for state in entered[reported:]:
                self._report(state)
            reported = len(entered)
            return description

        ended = poll(
            describe,
            until=lambda description: description["status"] != "RUNNING",
            timeout_seconds=timeout_seconds,
            poll_seconds=POLL_SECONDS,
        )
        if ended["status"] != "SUCCEEDED":
            error = f"{ended.get('error', 'it did not end in time')}: {ended.get('cause', '')}"
            raise CardwatchError(f"{execution} is {ended['status']}: {self._failure_cause(execution) or error}")

    def _failure_cause(self, execution: str) -> str:
        """Return why the first failed task failed; for a job, the reason that the job reports."""
        causes = [event[_FAILED].get("cause", "") for event in self._events(execution) if _FAILED in event]
        if not causes:
            return ""
        try:
            return str(json.loads(causes[0])["FailureReason"])
        except (ValueError, KeyError, TypeError):
            return str(causes[0])[:_CAUSE_CHARACTERS]

    def _events(self, execution: str) -> list[dict[str, Any]]:
        history: dict[str, Any] = self._client.get_execution_history(executionArn=execution, maxResults=1000)
        return list(history["events"])
