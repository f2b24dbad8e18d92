"""Cases as lines for the terminal. Texts of others are masked and escaped."""

from __future__ import annotations

from collections.abc import Iterator

from adapters.cases.shown import CaseHistory, CasePage, ShownCase
from adapters.records.printable import printable
from cardwatch.cases.history import CaseAction


def queue_lines(page: CasePage) -> Iterator[str]:
    """Yield a line for each case, and one about the queue."""
    for case in page.cases:
        yield "  ".join(
            (
                f"{case.partition}:{case.offset}".ljust(10),
                case.action.value.ljust(9),
                _loss(case).rjust(18),
                _probability(case).rjust(6),
                _due(case),
                _state(case),
                printable(case.transaction_id),
            )
        )
    states = ", ".join(f"{number:,} {state}" for state, number in page.counts.by_state.items())
    shown = f"{len(page.cases):,} of {page.total:,} shown; in the queue {states}"
    capacity = "" if page.capacity_per_day is None else f"; capacity {page.capacity_per_day:,} a day"
    yield f"{shown}, {page.counts.overdue:,} overdue within capacity{capacity}"


def described(shown: CaseHistory) -> Iterator[str]:
    """Yield lines that describe a case and what was done with it."""
    case = shown.case
    yield f"case          {case.partition}:{case.offset}, transaction {printable(case.transaction_id)}"
    yield f"state         {_state(case)}, version {case.version}"
    yield f"opened        {case.opened_at:%Y-%m-%dT%H:%M:%SZ}, {_due(case)}"
    yield f"paid          {case.amount_minor:,} minor units {case.currency or ''}, {case.channel.value}"
    yield f"parties       card {printable(case.card_id)}, merchant {printable(case.merchant_id)}"
    yield f"decision      {case.action.value}, probability {_probability(case)}, {printable(', '.join(case.reasons))}"
    place = "within" if case.is_within_capacity else "beyond"
    yield f"expected loss {_loss(case)}, {place} the capacity of {case.day}"
    for label in case.labels:
        said = "fraud" if label.is_fraud else "genuine"
        yield f"label         {said} by {label.source.value}, observed {label.observed_at:%Y-%m-%dT%H:%M:%SZ}"
    yield from map(_action, shown.actions)


def _action(action: CaseAction) -> str:
    what = "" if action.outcome is None else f" {action.outcome.value}"
    what += "" if action.assignee is None else f" to {printable(action.assignee)}"
    text = f": {printable(action.text)}" if action.text else ""
    return (
        f"{action.version:>4}  {action.at:%Y-%m-%dT%H:%M:%SZ}  {printable(action.by)}  {action.kind.value}{what}{text}"
    )


def _loss(case: ShownCase) -> str:
    if case.expected_loss_minor is None:
        return "unknown"
    return f"{case.expected_loss_minor:,.0f} minor {case.loss_currency or case.currency or ''}".strip()


def _probability(case: ShownCase) -> str:
    return "rules" if case.probability is None else f"{case.probability:.3f}"


def _due(case: ShownCase) -> str:
    return f"due {case.due_at:%Y-%m-%dT%H:%MZ}{' OVERDUE' if case.is_overdue else ''}"


def _state(case: ShownCase) -> str:
    if case.outcome is not None:
        by = f" by {printable(case.decided_by)}" if case.decided_by else " by a label outside of the queue"
        return f"{case.state.value}: {case.outcome.value}{by}{', its label follows' if case.is_label_pending else ''}"
    return f"{case.state.value}{f' to {printable(case.assignee)}' if case.assignee else ''}"
