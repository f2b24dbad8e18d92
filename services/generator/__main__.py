"""The generator as a process: `python -m services.generator PLAN.json`. It ends when the plan is done.

A restarted generator sends the rest of the plan: the topic `progress` says which days are complete in the log, and the
log itself what was sent of the next day.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import msgspec

from adapters.kafka.progress import ProgressReader
from adapters.kafka.topics import ensure_topics
from adapters.runtime.process import Process, exit_on_error, run_service
from services.generator.decisions import DecisionReader
from services.generator.metrics import GeneratorMetrics
from services.generator.plan import Plan, read_plan
from services.generator.plan_runner import PlanRunner
from services.generator.sender import EventSender


def main() -> None:
    """Run the plan that the argument names."""
    parser = argparse.ArgumentParser(prog="python -m services.generator", description=__doc__)
    parser.add_argument("plan", type=Path, help="a JSON file, see services/generator/plan.py")
    parser.add_argument("--show", action="store_true", help="only print the plan, with every default, as JSON")
    arguments = parser.parse_args()
    if arguments.show:
        with exit_on_error():
            sys.stdout.buffer.write(msgspec.json.encode(read_plan(arguments.plan)) + b"\n")
        return
    with run_service("generator") as process:
        plan = read_plan(arguments.plan)
        metrics = GeneratorMetrics()
        metrics.set_live_rate(plan.live_rate_per_second)
        process.keep_working(lambda: work(process, plan, metrics))
        process.end_as_stopped()


def work(process: Process, plan: Plan, metrics: GeneratorMetrics) -> None:
    """Run the rest of the plan."""
    settings = process.settings
    ensure_topics(settings.kafka, partitions=settings.partitions)
    with (
        closing(ProgressReader(settings.kafka, metrics.skipped.add)) as progress,
        closing(EventSender(process, metrics)) as sender,
        ExitStack() as stack,
    ):
        decisions = None
        if plan.reads_decisions:
            decisions = stack.enter_context(closing(DecisionReader(settings.kafka, metrics.skipped.add)))
        PlanRunner(plan, sender, progress, process, metrics, decisions).run()


if __name__ == "__main__":
    main()
