"""The generator as a process: `python -m services.generator PLAN.json`. It ends when the plan is done."""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path

from adapters.kafka import ProgressReader
from adapters.kafka_admin import ensure_topics
from adapters.process import Process, run_service
from services.generator.metrics import Metrics
from services.generator.plan import Plan, read_plan
from services.generator.schedule import Schedule
from services.generator.sending import Source


def main() -> None:
    """Run the plan that the argument names."""
    parser = argparse.ArgumentParser(prog="python -m services.generator", description=__doc__)
    parser.add_argument("plan", type=Path, help="a JSON file, see services/generator/plan.py")
    arguments = parser.parse_args()
    with run_service("generator") as process:
        plan = read_plan(arguments.plan)
        metrics = Metrics()
        process.keep_working(lambda: work(process, plan, metrics))


def work(process: Process, plan: Plan, metrics: Metrics) -> None:
    """Do what is left of the plan."""
    settings = process.settings
    ensure_topics(settings.kafka_bootstrap, partitions=settings.partitions)
    with closing(ProgressReader(settings.kafka_bootstrap)) as progress:
        Schedule(plan, Source(process, metrics), progress, process, metrics).run()


if __name__ == "__main__":
    main()
