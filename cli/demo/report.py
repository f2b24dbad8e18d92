"""The report of a demo: one HTML file that needs nothing from outside."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cardwatch.live.frames import EventFrame
from cardwatch.wording import plural
from cli.charts import Plot
from cli.demo import formatting, plots
from cli.demo.summary import DemoSummary, Facts
from cli.demo.table import headings, headline, loop_figures, money_figures, phase_rows, stream_figures
from cli.templates import render

REPORT_NAME: Final = "demo.html"
SUMMARY_NAME: Final = "summary.json"


def write_report(
    summary: DemoSummary, folder: Path, *, events: Sequence[EventFrame], drift_report: Path | None = None
) -> Path:
    """Write `demo.html` and `summary.json` into `folder` and return the path of the page.

    `events` is the timeline of the last snapshot. `drift_report`: Evidently's own report, linked relative to `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    summary.save(folder / SUMMARY_NAME)
    page = folder / REPORT_NAME
    link = None if drift_report is None else Path(os.path.relpath(drift_report, folder)).as_posix()
    page.write_text(_page(summary, events, link), encoding="utf-8")
    return page


def _page(summary: DemoSummary, events: Sequence[EventFrame], drift_report: str | None) -> str:
    facts = summary.facts
    return render(
        Path(__file__).with_name("report.html.j2"),
        facts=facts,
        headline=headline(summary),
        money_figures=money_figures(facts),
        headings=headings(facts),
        rows=phase_rows(facts),
        loop=loop_figures(facts),
        stream=stream_figures(summary.timings, facts.plan.offered_rate),
        plots=_plots(summary),
        events=sorted(events, key=lambda event: event.at_ms),
        drift_report=drift_report,
        count=formatting.count,
        plural=plural,
    )


def _plots(summary: DemoSummary) -> list[Plot]:
    facts = summary.facts
    drawn = [
        Plot(
            "Average precision",
            plots.average_precision(facts),
            "Average precision by simulated day. " + _in_words(facts),
            "Line: over up to five days, never across a change or a swap. Dots: each day alone. "
            "Dotted: the phase as a whole. All by the simulated truth, of which the bank learns only a part.",
            _versions(facts),
        ),
        Plot(
            "Drift, as the monitor saw it",
            plots.drift(facts),
            "Share of drifted features by day, and below it the days on which each feature had drifted.",
            "Against the data on which the champion of that day was trained.",
        ),
        Plot(
            "Value of fraud per day",
            plots.fraud_value(facts),
            "Value of fraud per day, stacked: caught below, missed above.",
            "By the simulated truth. Of challenged fraud the part counts as caught that a challenge stops.",
            [("caught", "caught"), ("missed", "missed")],
        ),
    ]
    if summary.timings.histogram:
        drawn.append(
            Plot(
                "Latency at a fixed rate",
                plots.latency(summary.timings),
                "Distribution of end-to-end latency with its percentiles, which are in the table.",
                f"{formatting.count(summary.timings.measured_decisions)} transactions, sent whatever the system did: "
                "from the time stamp of the transaction's record in the log to the arrival of its committed decision "
                "in another process.",
            )
        )
    return drawn


def _versions(facts: Facts) -> list[tuple[str, str]]:
    seen = sorted({day.version for day in facts.days if day.version}, key=lambda version: (len(version), version))
    return [(plots.version_variable(version), f"v{version} decides") for version in seen]


def _in_words(facts: Facts) -> str:
    names = headings(facts)
    return "; ".join(
        f"{name}: {formatting.ratio(phase.quality.average_precision)}"
        for name, phase in zip(names, facts.phases, strict=True)
    )
