"""The stream worker as a process: `python -m services.stream [--slot NAME]`."""

from __future__ import annotations

import argparse
import gc
import socket
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Final

from adapters.archive.archived_log import ArchivedLog
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.feature_store.open import open_store
from adapters.kafka.topics import ensure_topics
from adapters.runtime.clock import epoch_ms
from adapters.runtime.policy_file import read_control, read_policies
from adapters.runtime.process import Process, run_service
from adapters.runtime.settings import Settings
from adapters.runtime.step_hold import StepHold
from adapters.scoring.client import ScoringClient
from adapters.tracing.open import open_batch_tracer
from cardwatch.warm_up import warm_kernel
from services.stream.decision_engine import DecisionEngine
from services.stream.loop import run
from services.stream.metrics import StreamMetrics
from services.stream.tracing import Tracer
from services.stream.worker import Observers, StreamWorker

SCORING_DEADLINE_SECONDS: Final = 5.0
"""Deadline of the scoring request of a batch; after it the rules decide."""
BUSY_SECONDS: Final = 60.0
"""Time for which a batch waits for a scoring service that is busy with other callers' requests; then the rules decide.
Overload alone must not degrade decisions: the transactions wait in the log. The time is below that after which a worker
without a turn counts as stuck."""


SWITCH_SECONDS: Final = 0.0005
"""Maximum time for which one of the two threads holds the interpreter lock while the other waits for it."""


def main() -> None:
    """Run the worker until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m services.stream", description=__doc__)
    # A container keeps its host name when it is restarted.
    parser.add_argument(
        "--slot",
        default=f"cardwatch-stream-{socket.gethostname()}",
        help="name of the worker, unique among all workers and the same after a restart; default: the host name",
    )
    slot = parser.parse_args().slot
    with run_service("stream") as process:
        warm_kernel()
        metrics = StreamMetrics()
        sys.setswitchinterval(SWITCH_SECONDS)
        gc.collect()
        gc.freeze()  # objects that exist now live until the end; collections that include them take 100 ms
        gc.set_threshold(100_000, 20, 20)  # a batch of 2,000 creates some ten thousand objects, and leaves no cycles
        process.keep_working(lambda: work(process, slot, metrics))


def work(process: Process, slot: str, metrics: StreamMetrics) -> None:
    """Build the worker and run it until the process stops, or until an error that no retry cures is raised."""
    settings = process.settings
    policy = read_policies(settings).decision
    control = read_control(settings, policy)
    ensure_topics(settings.kafka, partitions=settings.partitions)
    with (
        open_batch_tracer(settings, "stream") as tracer,
        closing(_scorer(settings, tracer)) as scorer,
        open_store(settings) as store,
    ):
        worker = StreamWorker(
            store,
            ReferenceTableStore(settings.tables),
            DecisionEngine(scorer, policy, epoch_ms, control),
            settings.partitioning,
            ArchivedLog(settings.archive, settings.index_url),
            Observers(metrics, process.health.turn, tracer, _hold(process)),
        )
        run(worker, settings.kafka, slot, process.stopping, process.health, metrics.count_restart)


def _hold(process: Process) -> Callable[[str], None] | None:
    if not process.settings.hold_steps:
        return None
    hold = StepHold(process.settings.home / "run")
    return lambda step: hold.wait_before(step, process.stopping, process.health.turn)


def _scorer(settings: Settings, tracer: Tracer | None) -> ScoringClient:
    return ScoringClient(
        settings,
        timeout_seconds=SCORING_DEADLINE_SECONDS,
        busy_seconds=BUSY_SECONDS,
        trace_headers=None if tracer is None else tracer.current_headers,
    )


if __name__ == "__main__":
    main()
