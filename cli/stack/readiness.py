"""Readiness of the stack after its start, reported line by line."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from math import inf
from threading import Event, Thread
from typing import Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

from adapters.local_stack.stack_home import ProcessEndpoint, StackStatus
from adapters.runtime.retry import poll
from infra.local_stack.stack import SERVERS

DECISIONS: Final = "cardwatch_stream_decisions"
CHECK_SECONDS: Final = 0.5
REPORT_SECONDS: Final = 5.0
"""Minimum pause in seconds between a message and a report of what the stack waits for."""
NEED_TRAFFIC: Final = ("bootstrap", "scoring")
"""Processes that never become ready without transactions, because there is no model to train or to serve."""
REPORT_ORDER: Final = (*SERVERS, "archive", "pipelines", "bootstrap", "scoring")
"""Order in which processes that are not ready are reported: only the first is, because later ones depend on it."""

UnreadyReasons = Callable[[Mapping[str, ProcessEndpoint]], dict[str, str | None]]


class ReadinessMonitor:
    """Checks all processes, and reports which are ready and what the stack waits for.

    The stack is ready when all processes are and, with traffic, the model has decided a transaction. A generator that
    has finished its plan sends no transactions to decide.
    """

    def __init__(
        self,
        unready_reasons: UnreadyReasons,
        has_decided: Callable[[ProcessEndpoint], bool],
        report: Callable[[str], None],
        *,
        with_traffic: bool,
        now_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._unready_reasons, self._has_decided, self._report = unready_reasons, has_decided, report
        self._with_traffic, self._now_seconds = with_traffic, now_seconds
        self._begin = self._reported_at = now_seconds()
        self._ready: set[str] = set()
        self._last_wait = ""

    def check(self, status: StackStatus) -> bool:
        """Check every process once and return whether the stack is ready."""
        required = {
            name: endpoint
            for name, endpoint in status.endpoints.items()
            if name not in status.finished and (self._with_traffic or name not in NEED_TRAFFIC)
        }
        reasons = {name: why for name, why in self._unready_reasons(required).items() if why is not None}
        for name in required:
            if name not in reasons and name not in self._ready:
                self._ready.add(name)
                self._print(f"{name} is ready")
        if self._with_traffic and not reasons and "generator" not in status.finished:
            if self._has_decided(status.endpoints["stream"]):
                return True
            reasons = {"stream": "no transaction has been decided by the model yet"}
        self._report_wait(reasons)
        return not reasons

    def _report_wait(self, reasons: Mapping[str, str]) -> None:
        if not reasons or self._now_seconds() - self._reported_at < REPORT_SECONDS:
            return
        name = next((first for first in REPORT_ORDER if first in reasons), next(iter(reasons)))
        wait = f"{name} waits: {reasons[name]}"
        if wait != self._last_wait:
            self._print(wait)
            self._last_wait = wait

    def _print(self, message: str) -> None:
        self._reported_at = self._now_seconds()
        self._report(f"{self._reported_at - self._begin:5.0f} s  {message}")


class ReadinessThread:
    """Runs the checks of a monitor in a thread, because a check takes time."""

    def __init__(self, monitor: ReadinessMonitor) -> None:
        self._monitor = monitor
        self._status: StackStatus | None = None
        self._is_ready = Event()
        Thread(target=self._check, name="readiness", daemon=True).start()

    def update(self, status: StackStatus) -> bool:
        """Set the status for the next check and return whether the stack has become ready."""
        self._status = status
        return self._is_ready.is_set()

    def _check(self) -> None:
        poll(
            lambda: self._status is not None and self._monitor.check(self._status),
            timeout_seconds=inf,
            poll_seconds=CHECK_SECONDS,
        )
        self._is_ready.set()


def model_has_decided(stream: ProcessEndpoint) -> bool:
    """Whether this stream worker has made a decision that is not degraded."""
    try:
        metrics = httpx.get(f"{stream.address}/metrics", timeout=5.0, trust_env=False).text
    except httpx.HTTPError:
        return False
    return any(
        sample.value > 0 and sample.labels.get("degraded") == "false"
        for family in text_string_to_metric_families(metrics)
        if family.name == DECISIONS
        for sample in family.samples
        if sample.name == f"{DECISIONS}_total"
    )
