"""All benchmarks: `make bench` prints a table and writes `benchmarks/results/latest.json`, suite by suite."""

from __future__ import annotations

import argparse
import os
import warnings
from importlib import import_module
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.document import PAGE, RESULTS, write_page
from benchmarks.harness import Metrics, shown_value
from benchmarks.results_file import record_suite

SUITES: Final = {
    "one_transaction": "benchmarks.one_transaction",
    "replay": "benchmarks.replay",
    "alternatives": "benchmarks.alternatives",
    "predictors": "benchmarks.predictors",
    "steps": "benchmarks.request_steps",
    "scoring": "benchmarks.scoring",
    "baselines": "benchmarks.serving_baselines",
    "startup": "benchmarks.startup",
    "memory": "benchmarks.memory",
    "whatif": "benchmarks.what_if",
    "monitoring": "benchmarks.monitoring",
    "loop": "benchmarks.loop",
    "function": "benchmarks.stream_function",
    "stream": "benchmarks.stream.suite",
    "console": "benchmarks.console_pages",
}
"""The module that measures each suite. It is imported when its turn comes: its libraries may be slow to load."""


def main() -> None:
    """Measure the suites named on the command line, or all.

    The results of a run of all suites are recorded, each suite's as soon as it is measured, so that an interrupted run
    loses one suite at most. Those of some suites are recorded with `--record`: no ratio is taken between suites.
    """
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure suites of benchmarks.")
    parser.add_argument("suites", nargs="*", choices=[[], *SUITES], metavar="SUITE", help=", ".join(SUITES))
    parser.add_argument("--record", action="store_true", help=f"write the results of some suites to {RESULTS.name}")
    arguments = parser.parse_args()
    recorded = arguments.record or not arguments.suites
    warnings.simplefilter("ignore")  # of the alternatives, about themselves
    console = Console()
    for name in arguments.suites or SUITES:
        console.print(f"measuring {name} ...", highlight=False)
        load_before = os.getloadavg()[0]
        metrics = import_module(SUITES[name]).measure()
        console.print(_table(metrics))
        if recorded:
            record_suite(RESULTS, name, metrics, load_before=load_before)
            write_page()
            console.print(f"written to {RESULTS} and {PAGE}", highlight=False)


def _table(metrics: Metrics) -> Table:
    table = Table(box=None)
    for title in ("", "value", "ratio", "goal", "how"):
        table.add_column(title, justify="right" if title in ("value", "ratio") else "left")
    for name, metric in metrics.items():
        table.add_row(name, shown_value(metric), f"{metric.ratio:.2f}" if metric.ratio else "", metric.goal, metric.how)
    return table


if __name__ == "__main__":
    main()
