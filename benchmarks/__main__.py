"""All benchmarks: `make bench` writes `benchmarks/results/latest.json` and prints a table."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.harness import Metric, Metrics, machine, write

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
    "function": "benchmarks.stream_function",
}
"""By name the module that measures it, imported when its turn comes: what one needs may be missing or slow to load."""
RESULTS: Final = Path(__file__).parent / "results" / "latest.json"


def main() -> None:
    """Run the suites named on the command line, or all; only a run of all of them is kept."""
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
        console.print(f"written to {RESULTS}", highlight=False)


def _table(metrics: Metrics) -> Table:
    table = Table(box=None)
    for title in ("", "value", "ratio", "goal", "how"):
        table.add_column(title, justify="right" if title in ("value", "ratio") else "left")
    for name, metric in metrics.items():
        table.add_row(name, _value(metric), f"{metric.ratio:.2f}" if metric.ratio else "", metric.goal, metric.how)
    return table


def _value(metric: Metric) -> str:
    return f"{metric.value:,.0f} {metric.unit}" if metric.value >= 1_000 else f"{metric.value:.3g} {metric.unit}"


if __name__ == "__main__":
    main()
