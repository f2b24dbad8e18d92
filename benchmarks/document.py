"""The page docs/benchmarks.md, generated from the last results."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.capacity import MeasuredCosts, capacity_table
from benchmarks.harness import Metric, rounded, shown_value
from benchmarks.results_file import Machine, Results, read_results
from cardwatch.estimator.stream_design import REPLICAS, UTILIZATION
from infra.aws.markdown_tables import table

RESULTS: Final = Path(__file__).parent / "results" / "latest.json"
PAGE: Final = Path(__file__).parents[1] / "docs" / "benchmarks.md"

SECTIONS: Final = {
    "The feature kernel": ("ask_", "batch_lmdb", "encode_", "fold_", "replay", "windows_"),
    "Scoring, under load": ("score_", "invocations_", "baseline_", "startup", "scoring_", "reasons_"),
    "The stream": ("stream_",),
    "Trees": ("predict_", "contributions_"),
    "One request for a preview, step by step": ("step_",),
    "The stream function on AWS": ("function_",),
    "What-if over the archive": ("whatif_",),
    "The console": ("console_",),
    "Monitoring": ("monitoring_",),
    "The loop on simulated worlds": ("loop_",),
}
"""Titles with the beginnings of the metrics' names."""
HEAD: Final = ("metric", "value", "compared with", "ratio", "goal", "how")

INTRODUCTION: Final = """\
# Benchmarks

Generated from `benchmarks/results/latest.json` by `make bench`; do not edit. Each ratio compares two things that were
measured in the same interleaved run; absolute times depend on the machine. A ratio is the median of the ratios of the
rounds, so it differs a little from the quotient of the two medians.

To repeat everything: `make bench` (an hour). To repeat some suites: `make bench SUITES="replay scoring"`; with
`RECORD=1` their results replace the recorded ones. When and where each suite was measured is
[at the end](#when-and-where)."""


CAPACITY: Final = f"""\
Computed from the processor times above, with {UTILIZATION:.0%} of each core planned and {REPLICAS} replicas of the log.
The formulas are in `cardwatch/estimator/stream_design.py`. What they mean, and where the design ends, is in
[streaming.md](streaming.md#capacity)."""


def document(results: Path = RESULTS) -> str:
    """Return the page for a file of results, a section per subject."""
    found = read_results(results)
    page = INTRODUCTION + "\n"
    remaining = dict(found.metrics)
    for title, prefixes in SECTIONS.items():
        rows = [_row(name, remaining.pop(name)) for name in list(remaining) if name.startswith(prefixes)]
        if rows:
            page += f"\n## {title}\n\n{table(HEAD, rows)}"
    if costs := MeasuredCosts.of(found.metrics):
        page += f"\n## Capacity of the stream\n\n{CAPACITY}\n\n{capacity_table(costs)}"
    if remaining:
        raise ValueError(f"no section of {PAGE.name} holds {', '.join(remaining)}")
    return f"{page}\n## When and where\n\n{_when_and_where(found)}"


def _when_and_where(found: Results) -> str:
    """Return which suites were measured on which machine, and a table with the day of each."""
    of_machines: dict[Machine, list[str]] = {}
    for suite, measured in sorted(found.suites.items()):
        of_machines.setdefault(measured.machine, []).append(suite)
    lines = [
        f"On {where.processor}, {where.cores} cores, {where.system}, Python {where.python}: {', '.join(suites)}."
        for where, suites in sorted(of_machines.items())
    ]
    rows = [
        [suite, str(measured.measured_on), f"{measured.load_before:.2f}"]
        for suite, measured in sorted(found.suites.items())
    ]
    return "\n\n".join([*lines, table(("suite", "measured on", "load of the machine before"), rows)])


def _row(name: str, metric: Metric) -> list[str]:
    baseline = "" if metric.baseline is None else rounded(metric.baseline)
    ratio = "" if metric.ratio is None else f"{metric.ratio:.2f}"
    return [f"`{name}`", shown_value(metric), baseline, ratio, metric.goal, metric.how]


def write_page() -> None:
    """Write the page for the last results."""
    PAGE.write_text(document(), encoding="utf-8")


if __name__ == "__main__":
    write_page()
