"""Monitor of the flow runner: polls the Prefect server, and updates health and metrics of the runner's process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from adapters.prefect import FlowRun, PrefectDeployments
from adapters.runtime.health import Health
from cardwatch.errors import OrchestratorUnavailable
from pipelines.runner.metrics import FlowRunMetrics

POLL_SECONDS: Final = 5.0
REGISTERING: Final = "the flows are being registered with the Prefect server"
DEPLOYMENTS_LOST: Final = "the Prefect server has forgotten our deployments"

HasFreeSlot = Callable[[], bool]
"""Whether Prefect's runner can start a run: false while it executes one."""

log = logging.getLogger(__name__)


class _ServerState(NamedTuple):
    knows_all: bool
    runs: dict[str, list[FlowRun]]


class RunMonitor:
    """Polls the server for the deployments `names` ("flow/deployment"), and crashes orphaned runs.

    There is one flow runner. A run that is active while this runner is idle is orphaned: it belongs to a runner that
    was killed, or the server was unreachable when it ended. Without the state CRASHED its caller would wait forever.
    """

    def __init__(
        self, server: PrefectDeployments, names: Sequence[str], health: Health, metrics: FlowRunMetrics
    ) -> None:
        self._server, self._names, self._health, self._metrics = server, names, health, metrics
        self._has_free_slot: HasFreeSlot | None = None
        self._not_serving_reason = REGISTERING
        self._suspects: frozenset[str] = frozenset()
        self._changed = asyncio.Event()
        self.needs_restart = False

    def runner_started(self, has_free_slot: HasFreeSlot) -> None:
        """Note that a runner serves the deployments. `needs_restart` becomes true when it must be replaced."""
        self._has_free_slot, self.needs_restart = has_free_slot, False
        self._changed.set()

    def runner_stopped(self, reason: str = REGISTERING) -> None:
        """Note that no runner serves the deployments, and why."""
        self._has_free_slot, self._not_serving_reason = None, reason
        self._changed.set()

    async def keep_polling(self) -> None:
        """Poll every few seconds, and immediately after a runner has started or stopped. Does not return."""
        while True:
            self._changed.clear()
            await self.poll()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), POLL_SECONDS)

    async def poll(self) -> None:
        """Query the server in a thread, and update health, metrics and orphaned runs. Calls must not overlap."""
        has_free_slot = self._has_free_slot
        is_idle = has_free_slot is not None and has_free_slot()
        try:
            state = await asyncio.to_thread(self._query)
            for name, runs in state.runs.items():
                self._metrics.update(name.partition("/")[0], runs)
            await asyncio.to_thread(self._crash, self._orphaned(state, is_idle=is_idle))
        except OrchestratorUnavailable as error:
            self._suspects = frozenset()
            self._health.waiting(str(error))
            if is_idle:  # Prefect's runner polls less and less often after errors, and would miss cancellations
                self._request_restart(has_free_slot, str(error))
            return
        if has_free_slot is None or has_free_slot is not self._has_free_slot:
            self._health.waiting(self._not_serving_reason)
        elif not state.knows_all:
            self._health.waiting(DEPLOYMENTS_LOST)
            self._request_restart(has_free_slot, DEPLOYMENTS_LOST)
        else:
            self._health.ready()

    def crash_active_runs(self) -> None:
        """Set every active run to CRASHED. Called before a runner starts; blocks."""
        self._crash(_active(self._query()))

    def _request_restart(self, has_free_slot: HasFreeSlot | None, reason: str) -> None:
        if has_free_slot is self._has_free_slot and not self.needs_restart:
            self.needs_restart = True
            log.warning("the flows will be registered again: %s", reason)

    def _query(self) -> _ServerState:
        return _ServerState(
            knows_all=all(self._server.exists(name) for name in self._names),
            runs={name: self._server.runs(name) for name in self._names},
        )

    def _orphaned(self, state: _ServerState, *, is_idle: bool) -> list[FlowRun]:
        """Return the runs that were active in two consecutive polls while the runner was idle.

        One poll is not enough: the runner may start a run between its own answer and that of the server.
        """
        active = _active(state) if is_idle else []
        orphaned = [run for run in active if run.run_id in self._suspects]
        self._suspects = frozenset(run.run_id for run in active)
        return orphaned

    def _crash(self, orphaned: Sequence[FlowRun]) -> None:
        for run in orphaned:
            log.warning("run %s is %s, but no runner executes it: set to CRASHED", run.run_id, run.state.name)
            self._server.crash(run.run_id, "the flow runner is not at work on it")


def _active(state: _ServerState) -> list[FlowRun]:
    return [run for runs in state.runs.values() for run in runs if run.state.is_under_way]
