"""The answer of `cardwatch whatif`: as a struct for a file, and as tables for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date

from msgspec import Struct
from rich.console import RenderableType
from rich.table import Table

from cardwatch.decision.cost_policy import ACTIONS
from cardwatch.decision.what_if import LeftOutCause, WhatIf
from cardwatch.decision.what_if_figures import Changes, KnownOutcomes, SideFigures, TrueOutcomes
from cardwatch.recall_bounds import Bounds

_CAUSES = {
    LeftOutCause.OTHER_POLICY: "decided by a policy that is not known (name its file with --decided-by)",
    LeftOutCause.ACTION: "the policy that decided gives another action or control share now",
    LeftOutCause.CONTROL_SHARE: "the control share draws other transactions: is CARDWATCH_CONTROL_KEY another key?",
    LeftOutCause.NOT_RECORDED: "need features of this schema or the currency, which the archive lacks",
}


class WhatIfReport(Struct, frozen=True, kw_only=True):
    """The content of `--json`. Bounds are pairs of the least and the greatest value; null stands for no upper bound.

    `tried` says what was tried. `currency` is that of amounts and costs, None if the policy has none.
    """

    first_day: date
    last_day: date
    tried: str
    policy_version: str
    currency: str | None
    maturity_days: int
    result: WhatIf

    @property
    def days(self) -> int:
        """The number of days."""
        return (self.last_day - self.first_day).days + 1


def lines_and_tables(report: WhatIfReport) -> Iterator[RenderableType]:
    """Yield what the terminal shows."""
    result = report.result
    yield (
        f"{report.tried}, {report.first_day} to {report.last_day}: {result.reproduced:,} of {result.rows:,} recorded"
        " decisions are reproduced exactly and compared"
    )
    for left in result.left_out:
        where = ", ".join(f"{partition}:{offset}" for partition, offset in left.first)
        versions = ", ".join(f"{version or 'no version'} {rows:,}" for version, rows in left.by_version.items())
        yield f"left out: {left.rows:,} {_CAUSES[left.cause]}; by policy version {versions}; first at {where}"
    if result.alert_price_minor is not None:
        yield f"alert_price_minor = {result.alert_price_minor!r}"
    if result.expected_control:
        yield "The control share is an expectation: without CARDWATCH_CONTROL_KEY nobody knows what it would draw."
    if (changes := result.changes) is not None:
        yield _sides(report, changes)
        yield _moves(changes)
        if changes.typologies:
            yield _typologies(changes)
        yield from _notes(report, changes)


def _sides(report: WhatIfReport, changes: Changes) -> Table:
    unit = report.currency or ""
    table = _table("", "recorded", "instead", "change")

    def add(name: str, value: Callable[[SideFigures], float]) -> None:
        before, after = value(changes.recorded), value(changes.instead)
        table.add_row(name, _number(before), _number(after), _signed(after - before))

    add("approved", lambda side: side.actions.approve)
    add("of these by the control share", lambda side: side.actions.control)
    add("challenged", lambda side: side.actions.challenge)
    add("declined", lambda side: side.actions.decline)
    add("alerts a day", lambda side: side.actions.alerts / report.days)
    table.add_row("by labels")
    for name, bounds in _BY_LABELS.items():
        of_sides = [bounds(side.by_labels) for side in (changes.recorded, changes.instead)]
        change = _signed_bounds(changes.cost_minor) if name == "cost" else ""
        table.add_row(f"  {name}", *(_bounds(each, _scale(name)) for each in of_sides), change)
    if changes.recorded.by_truth is not None and changes.instead.by_truth is not None:
        table.add_row("in truth")
        for name, value in _BY_TRUTH.items():
            before, after = value(changes.recorded.by_truth), value(changes.instead.by_truth)
            change = "" if before is None or after is None else _signed((after - before) / _scale(name))
            shown = ("-" if each is None else _number(each / _scale(name)) for each in (before, after))
            table.add_row(f"  {name}", *shown, change)
    table.caption = f"Values and costs in {unit or 'major units of each currency'}; a range is between bounds."
    return table


_BY_LABELS: dict[str, Callable[[KnownOutcomes], Bounds | None]] = {
    "frauds caught": lambda of: of.frauds_caught,
    "share of frauds caught": lambda of: of.recall,
    "alerts per fraud caught": lambda of: of.alerts_per_fraud_caught,
    "value caught": lambda of: of.value_caught_minor,
    "value missed": lambda of: of.value_missed_minor,
    "cost": lambda of: of.cost_minor,
}
_BY_TRUTH: dict[str, Callable[[TrueOutcomes], float | None]] = {
    "frauds caught": lambda of: of.frauds_caught,
    "alerts per fraud caught": lambda of: of.alerts_per_fraud_caught,
    "value caught": lambda of: of.value_caught_minor,
    "value missed": lambda of: of.value_missed_minor,
    "cost": lambda of: of.cost_minor,
}


def _moves(changes: Changes) -> Table:
    table = _table("recorded", *(f"now {action.value}" for action in ACTIONS))
    for action, moves in zip(ACTIONS, changes.moves, strict=True):
        table.add_row(action.value, *(_number(each) for each in moves))
    return table


def _typologies(changes: Changes) -> Table:
    table = _table("typology, in truth", "frauds", "caught", "instead", "value missed", "instead")
    for each in changes.typologies:
        table.add_row(
            each.typology,
            _number(each.frauds),
            _number(each.caught_recorded),
            _number(each.caught_instead),
            _number(each.missed_recorded_minor / 100),
            _number(each.missed_instead_minor / 100),
        )
    return table


def _notes(report: WhatIfReport, changes: Changes) -> Iterator[str]:
    now, coverage = changes.now_approved, changes.coverage
    if now.rows:
        yield (
            f"{_number(now.rows)} declines worth {_number(now.value_minor / 100)} would have been approved; the outcome"
            f" of {_number(now.unknown)} of them, worth {_number(now.unknown_value_minor / 100)}, is not known"
        )
    yield (
        f"{coverage.censored:,} declines have no outcome: the bounds take each for genuine or for fraud."
        f" {coverage.immature:,} transactions are younger than {report.maturity_days} days and have no label yet: they"
        " are left out of the lines by labels"
    )
    if changes.unpriced:
        yield f"{changes.unpriced:,} transactions are in a currency without a rate: only their actions are counted"
    if changes.recorded.by_truth is not None:
        yield f"figures in truth are those of {changes.in_truth:,} of {changes.rows:,} transactions"


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, caption_justify="left")
    for number, title in enumerate(titles):
        table.add_column(title, justify="right" if number else "left")
    return table


def _scale(name: str) -> float:
    return 100.0 if name in {"value caught", "value missed", "cost"} else 1.0


def _number(value: float) -> str:
    if value == float("inf"):
        return "no bound"
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 1_000 else f"{value:,.2f}"


def _signed(value: float) -> str:
    return f"+{_number(value)}" if value > 0 else _number(value)


def _bounds(bounds: Bounds | None, scale: float) -> str:
    if bounds is None:
        return "-"
    low, high = _number(bounds.low / scale), _number(bounds.high / scale)
    return low if low == high else f"{low} to {high}"


def _signed_bounds(bounds: Bounds) -> str:
    low, high = _signed(bounds.low / 100), _signed(bounds.high / 100)
    return low if low == high else f"{low} to {high}"
