"""All benchmarks: `make bench` writes `benchmarks/results/latest.json` and prints a table."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.document import PAGE, RESULTS, write_page
from benchmarks.harness import Metrics, machine, shown_value, write

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
    """Run the suites named on the command line, or all; only the results of a run of all suites are written."""
    chosen = sys.argv[1:] or list(SUITES)
    if unknown := set(chosen) - set(SUITES):
        sys.exit(f"there is no suite {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    warnings.simplefilter("ignore")  # of the alternatives, about themselves
    console, measured_on, metrics = Console(), machine(), Metrics()
    for name in chosen:
        console.print(f"measuring {name} ...", highlight=False)
        metrics |= import_module(SUITES[name]).measure()
    console.print(_table(metrics))
    if chosen == list(SUITES):
        write(RESULTS, metrics, measured_on)
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
