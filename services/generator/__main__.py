"""The generator as a process: `python -m services.generator PLAN.json`. It ends when the plan is done."""

from __future__ import annotations

import argparse
from pathlib import Path

from adapters.kafka import ProgressReader
from adapters.kafka_admin import ensure_topics
from adapters.process import run_service
from services.generator.plan import read_plan
from services.generator.schedule import Schedule
from services.generator.sending import Source


def main() -> None:
    """Run the plan that the argument names."""
    parser = argparse.ArgumentParser(prog="python -m services.generator", description=__doc__)
    parser.add_argument("plan", type=Path, help="a JSON file, see services/generator/plan.py")
    arguments = parser.parse_args()
    with run_service("generator") as process:
        plan = read_plan(arguments.plan)
        ensure_topics(process.settings.kafka_bootstrap, partitions=process.settings.partitions)
        source = Source(process.settings.kafka_bootstrap)
        Schedule(plan, source, ProgressReader(process.settings.kafka_bootstrap), process.stopping).run()


if __name__ == "__main__":
    main()
