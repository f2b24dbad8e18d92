"""All benchmarks: `make bench` writes `benchmarks/results/latest.json` and prints a table."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks import alternatives, one_transaction, replay
from benchmarks.harness import Metric, Metrics, machine, write

SUITES: Final[dict[str, Callable[[], Metrics]]] = {
    "one_transaction": one_transaction.measure,
    "replay": replay.measure,
    "alternatives": alternatives.measure,
}
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
        metrics |= SUITES[name]()
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
