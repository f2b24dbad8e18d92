"""Time from the start of the process until it is ready: the scoring service, over BentoML with an empty service.

Both are started alternately, with warm disk caches and compiled code. The registry is running and has a champion. A
first round is not counted.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Final

from adapters.runtime.settings import Settings
from benchmarks.harness import Metrics, compared, in_rounds
from benchmarks.serving.fixture import serving_fixture
from benchmarks.serving.servers import ServerFactory, empty, on_free_ports, registry, scoring
from infra.local_stack.supervisor import Supervisor

ROUNDS: Final = 5
_POLL_SECONDS: Final = 0.02


def measure() -> Metrics:
    """Return the seconds from the start of `bentoml serve` until its worker is ready."""
    with registry(serving_fixture().settings) as (supervisor, settings):
        start = partial(_start_seconds, supervisor, settings)
        candidates = {"empty": partial(start, empty), "ours": partial(start, scoring)}
        seconds = in_rounds(candidates, rounds=ROUNDS, uncounted=1)
    return {
        "startup": compared(
            seconds["ours"],
            seconds["empty"],
            unit="s",
            how="`python -m services.scoring` until it serves the champion, over `bentoml serve` of an empty service",
            goal="at most 1.5 times",
        )
    }


def _start_seconds(supervisor: Supervisor, settings: Settings, server: ServerFactory) -> float:
    """Start a server, poll until it is ready, stop it, and return the seconds until it was ready."""
    [own] = on_free_ports(settings, 1)
    part = server(own).part
    begin = time.perf_counter()
    supervisor.spawn([part])
    while not part.ready():
        supervisor.check()
        if time.perf_counter() - begin > part.ready_within_seconds:
            raise TimeoutError(f"{part.name} was not ready within {part.ready_within_seconds:g} s")
        time.sleep(_POLL_SECONDS)
    seconds = time.perf_counter() - begin
    supervisor.stop(part.name)
    return seconds
