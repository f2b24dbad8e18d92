"""The end of a demo on the terminal: headline, conditions, tables."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cli.demo.screen import QUIET
from cli.demo.summary import DemoSummary, Facts
from cli.demo.table import headings, headline, loop_figures, money_figures, phase_rows, stream_figures


def closing(summary: DemoSummary) -> RenderableType:
    """Return what is printed when the demo has ended."""
    facts = summary.facts
    return Group(
        Text(headline(summary), "bold green" if facts.closed else "bold red"),
        Padding(_money(facts), (1, 0)),
        *(_check(check.passed, check.sentence) for check in facts.checks),
        Padding(_phases(summary), (1, 0)),
        _figures(loop_figures(facts) | stream_figures(summary.timings, facts.plan.offered_rate)),
    )


def _money(facts: Facts) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(min_width=31)
    table.add_column(style="bold")
    table.add_column(style=QUIET)
    for figure in money_figures(facts):
        table.add_row(figure.name, figure.value, figure.basis)
    return table


def _check(passed: bool, sentence: str) -> Text:
    sign, style = ("✓", "green") if passed else ("✗", "bold red")
    return Text.assemble((f"  {sign} ", style), sentence)


def _phases(summary: DemoSummary) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style=QUIET, padding=(0, 1), show_edge=False)
    table.add_column("")
    for heading in headings(summary.facts):
        table.add_column(heading, justify="right")
    for row in phase_rows(summary.facts):
        table.add_row(row.name, *row.cells, style="bold" if row.is_key else "")
    return table


def _figures(figures: Mapping[str, str]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(min_width=31)
    table.add_column()
    for name, value in figures.items():
        table.add_row(name, value)
    return table
