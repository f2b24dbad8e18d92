"""How long transactions wait when a worker is killed: with another one in the group, and with a restart of its slot."""

from __future__ import annotations

from threading import Timer
from typing import Final

import numpy as np
from numpy.typing import NDArray

from adapters.runtime.clock import epoch_ms
from benchmarks.harness import Metric, Metrics
from benchmarks.stream.stand import StreamStand
from cardwatch.topics import DECISIONS

RATE: Final = 200.0
SECONDS: Final = 30
KILL_AFTER_SECONDS: Final = 10.0


def measure_failover(stand: StreamStand) -> Metrics:
    """Kill a worker under traffic, once where another worker takes over and once where it is restarted."""
    return {
        "stream_killed_taken_over": Metric(
            value=_taken_over(stand),
            unit="s",
            how="a killed worker's transactions wait until another worker decides them, the longest",
            goal="at most 10",
        ),
        "stream_killed_restarted": Metric(
            value=_restarted(stand),
            unit="s",
            how="the same from when the restarted slot is ready, in seconds",
            goal="at most 2",
        ),
    }


def _taken_over(stand: StreamStand) -> float:
    supervisor = stand.stack.supervisor
    slots = ("stream-one", "stream-two")
    for slot in slots:
        stand.start_slot(slot)
    kill = Timer(KILL_AFTER_SECONDS, supervisor.kill, [slots[0]])
    kill.start()
    try:
        waits = _decided(stand.latencies(DECISIONS, int(RATE * SECONDS), RATE))
    finally:
        kill.join()
        supervisor.stop(slots[1])
    return float(waits.max()) / 1e3


def _restarted(stand: StreamStand) -> float:
    slot, ready_ms = "stream-one", []
    stand.start_slot(slot)

    def restart() -> None:
        stand.stack.supervisor.kill(slot)
        stand.start_slot(slot)
        ready_ms.append(epoch_ms())

    restarting = Timer(KILL_AFTER_SECONDS, restart)
    restarting.start()
    try:
        read_ms, waits = stand.read_times_and_latencies(DECISIONS, int(RATE * SECONDS), RATE)
    finally:
        restarting.join()
        stand.stack.supervisor.stop(slot)
    _decided(waits)
    sent_ms = read_ms - waits
    waited = read_ms[sent_ms < ready_ms[0]]  # sent before the slot was ready
    return max(float(waited.max()) - ready_ms[0], 0.0) / 1e3


def _decided(waits: NDArray[np.float64]) -> NDArray[np.float64]:
    if np.isnan(waits).any():
        raise RuntimeError(f"{np.isnan(waits).sum()} transactions have no decision")
    return waits
