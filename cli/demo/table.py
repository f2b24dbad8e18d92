"""The closing table as text: the same words in the terminal and in the report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from cardwatch.wording import plural
from cli.demo.formatting import NOTHING, count, duration, milliseconds, money, ratio, share
from cli.demo.outcomes import Quality
from cli.demo.phases import AFTER, BEFORE, SWAPPED, Phase
from cli.demo.savings import CostComparison
from cli.demo.summary import Delay, DemoSummary, Facts, Timings

PHASE_NAMES: Final = {BEFORE: "before the change", AFTER: "after the change", SWAPPED: "after the swap"}


class Row(Struct, frozen=True):
    """A name and its cells, one per phase. `is_key` marks what the demo is about."""

    name: str
    cells: list[str]
    is_key: bool = False


class MoneyFigure(Struct, frozen=True):
    """A figure at the head of the report: its name, its value, and how it comes about."""

    name: str
    value: str
    basis: str


def headings(facts: Facts) -> list[str]:
    """The phases that were seen, in order."""
    if facts.plan.change_day is None:
        return ["no change"] * len(facts.phases)
    return [PHASE_NAMES[phase.name] for phase in facts.phases]


def phase_rows(facts: Facts) -> list[Row]:
    """Return the quality of each phase, by the simulated truth."""
    currency = facts.currency

    def row(name: str, cell: Callable[[Quality], str], *, is_key: bool = False) -> Row:
        return Row(name, [cell(phase.quality) for phase in facts.phases], is_key)

    return [
        Row("days judged", [_span(phase) for phase in facts.phases]),
        row("transactions", lambda seen: count(seen.transactions)),
        row("frauds", lambda seen: count(seen.frauds)),
        row("average precision", lambda seen: ratio(seen.average_precision), is_key=True),
        row("recall at 0.1 % false positives", lambda seen: ratio(seen.recall), is_key=True),
        row("frauds caught", lambda seen: f"{count(seen.frauds_caught)} ({share(seen.frauds_caught, seen.frauds)})"),
        row("value caught", lambda seen: _value(seen, currency)),
        row("value missed", lambda seen: money(seen.missed_minor, currency)),
        row("declined, no label", lambda seen: count(seen.censored)),
        row("alerts per fraud caught", lambda seen: _per(seen.alarms, seen.frauds_caught)),
    ]


def money_figures(facts: Facts) -> list[MoneyFigure]:
    """Return what a head of fraud asks for first: money saved, and alerts per fraud caught in each phase."""
    figures = []
    if (savings := facts.savings) is not None:
        figures.append(_saved("saved against doing nothing", savings.against_nothing, savings.currency))
        if savings.against_old_model is not None:
            figures.append(_saved("saved against the old model", savings.against_old_model, savings.currency))
    alerts = [_per(phase.quality.alarms, phase.quality.frauds_caught) for phase in facts.phases]
    if alerts:
        figures.append(MoneyFigure("alerts per fraud caught", ", ".join(alerts), ", ".join(headings(facts))))
    return figures


def loop_figures(facts: Facts) -> dict[str, str]:
    """Return the delays of the loop, in simulated time."""
    if facts.plan.change_day is None:
        return {"retrainings": count(len(facts.verdicts))}
    return {
        "change to detection": _delay(facts.change_to_detection),
        "detection to promotion": _delay(facts.detection_to_promotion),
    }


def stream_figures(timings: Timings, offered_rate: float) -> dict[str, str]:
    """Return counts of the topics, latencies and duration."""
    counts = timings.counts
    tail = ", ".join(milliseconds(value) for value in (timings.p50_ms, timings.p95_ms, timings.p99_ms, timings.p999_ms))
    return {
        "decisions per second": f"{timings.decisions_per_second:,.0f} of {offered_rate:,.0f} offered",
        "latency p50, p95, p99, p99.9": tail,
        "transactions in the log, decided": f"{count(counts.transactions)}, {count(counts.decisions)}",
        "dead letters, repeats recognised": f"{count(counts.dead_letters)}, {count(counts.repeats)}",
        "lost, duplicate decisions": f"{count(counts.lost)}, {count(counts.duplicates)}",
        "degraded decisions": count(timings.degraded),
        "the demo took": f"{duration(timings.elapsed_seconds)} min",
    }


def headline(summary: DemoSummary) -> str:
    """Return one sentence that says whether the loop closed."""
    facts = summary.facts
    if facts.plan.change_day is None:
        if facts.closed:
            return "Nothing changed, and nothing was retrained."
        return "The population did not change, but the demo did not end as it should."
    return "The loop closed." if facts.closed else "The loop did not close."


def _span(phase: Phase) -> str:
    days = (phase.last_day - phase.first_day).days + 1
    return f"{phase.first_day:%m-%d} to {phase.last_day:%m-%d} ({days})"


def _value(seen: Quality, currency: str) -> str:
    return f"{money(seen.caught_minor, currency)} ({share(seen.caught_minor, seen.caught_minor + seen.missed_minor)})"


def _per(part: int, whole: float) -> str:
    return f"{part / whole:.1f}" if whole else NOTHING


def _saved(name: str, costs: CostComparison, currency: str) -> MoneyFigure:
    basis = (
        f"{costs.instead} would have cost {money(costs.instead_minor, currency)} in {plural(costs.days, 'day')}; "
        f"these decisions cost {money(costs.cost_minor, currency)}"
    )
    return MoneyFigure(name, money(costs.saved_minor, currency), basis)


def _delay(delay: Delay | None) -> str:
    if delay is None:
        return NOTHING
    if not delay.days:
        return "the same day"
    return f"{plural(delay.days, 'day')}, {plural(delay.transactions, 'transaction')}"
