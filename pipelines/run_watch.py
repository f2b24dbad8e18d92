"""What the flow runner knows of the Prefect server and of its runs there: asked every few seconds, served or not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

from adapters.prefect import FlowRun
from adapters.runtime.health import Health
from cardwatch.errors import OrchestratorUnavailable
from pipelines.metrics import FlowRunMetrics

LOOK_SECONDS: Final = 5.0
REGISTERING: Final = "the flows are being registered with the Prefect server"
FORGOTTEN: Final = "the Prefect server has forgotten our deployments"

log = logging.getLogger(__name__)


class Server(Protocol):
    """What is needed of `adapters.prefect.PrefectDeployments`."""

    def exists(self, name: str) -> bool:
        """Whether a deployment is known."""
        ...

    def runs(self, name: str) -> list[FlowRun]:
        """The newest runs of a deployment."""
        ...

    def crash(self, run_id: str, why: str) -> None:
        """Say that nobody is at work on a run."""
        ...


class Serving(Protocol):
    """What is needed of `prefect.runner.Runner`."""

    def has_slots_available(self) -> bool:
        """False while it is at work on a run."""
        ...


class Seen(NamedTuple):
    """What the server answered at one look: whether it knows all deployments, and the newest runs of each."""

    knows_all: bool
    runs: dict[str, list[FlowRun]]


class RunWatch:
    """Looks at the server, and tells `health` and `metrics`. `names`: the deployments, as "flow/deployment".

    There is one flow runner. So a run that is under way while that runner is at work on nothing was begun by one that
    is gone, or ended while the server could not be told: whoever asked for it would wait for ever. It is given up.
    """

    def __init__(self, server: Server, names: Sequence[str], health: Health, metrics: FlowRunMetrics) -> None:
        self._server, self._names, self._health, self._metrics = server, names, health, metrics
        self._serving: Serving | None = None
        self._why_not = REGISTERING
        self._suspects: frozenset[str] = frozenset()
        self._news = asyncio.Event()
        self.is_over = False

    def serves(self, serving: Serving) -> None:
        """Deployments are registered, and runs are taken up from now on, until `is_over` says that it is of no use."""
        self._serving, self.is_over = serving, False
        self._news.set()

    def serves_no_longer(self, why: str = REGISTERING) -> None:
        """No run is taken up until `serves` is called again, for this reason."""
        self._serving, self._why_not = None, why
        self._news.set()

    async def keep_looking(self) -> None:
        """Look every few seconds, and at once when something has changed; does not end."""
        while True:
            self._news.clear()
            await self.look()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), LOOK_SECONDS)

    async def look(self) -> None:
        """Ask the server and note what it says; the loop goes on meanwhile. Calls must not overlap."""
        serving = self._serving
        is_idle = serving is not None and serving.has_slots_available()
        try:
            seen = await asyncio.to_thread(self._ask)
            for name, runs in seen.runs.items():
                self._metrics.saw(name.partition("/")[0], runs)
            await asyncio.to_thread(self._give_up, self._orphans(seen, is_idle=is_idle))
        except OrchestratorUnavailable as error:
            self._suspects = frozenset()
            self._health.waiting(str(error))
            if is_idle:  # Prefect's runner would ask at longer and longer intervals, and miss what is to be cancelled
                self._end(serving, str(error))
            return
        if serving is None or serving is not self._serving:
            self._health.waiting(self._why_not)
        elif not seen.knows_all:
            self._health.waiting(FORGOTTEN)
            self._end(serving, FORGOTTEN)
        else:
            self._health.ready()

    def give_up_all(self) -> None:
        """Give up every run that is under way; for a runner that has not begun to serve. It blocks."""
        self._give_up([run for runs in self._ask().runs.values() for run in runs if run.state.is_under_way])

    def _end(self, serving: Serving | None, why: str) -> None:
        if serving is self._serving and not self.is_over:
            self.is_over = True
            log.warning("the flows will be registered again: %s", why)

    def _ask(self) -> Seen:
        return Seen(
            knows_all=all(self._server.exists(name) for name in self._names),
            runs={name: self._server.runs(name) for name in self._names},
        )

    def _orphans(self, seen: Seen, *, is_idle: bool) -> list[FlowRun]:
        """Runs under way at this look and at the last, while the runner was at work on none when this one began.

        One look is not enough: a run may have been taken up between the two questions, to the runner and the server.
        """
        runs = [run for runs in seen.runs.values() for run in runs if run.state.is_under_way] if is_idle else []
        orphans = [run for run in runs if run.run_id in self._suspects]
        self._suspects = frozenset(run.run_id for run in runs)
        return orphans

    def _give_up(self, orphans: Sequence[FlowRun]) -> None:
        for run in orphans:
            log.warning("run %s is %s, and nobody is at work on it: given up", run.run_id, run.state.name)
            self._server.crash(run.run_id, "the flow runner is not at work on it")
