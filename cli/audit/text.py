"""The result of an audit as lines and tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import RenderableType
from rich.table import Table

from adapters.runtime.terminal_text import escaped
from cardwatch.audit.checks import CheckStatus
from cardwatch.audit.lineage import ModelLineage, VerdictLine
from cardwatch.audit.range_tally import CheckCounts
from cardwatch.audit.reason_basis import ReasonBasis
from cli.audit.report import DaysAudit, DecisionAudit
from cli.audit.wording import (
    SOURCE_WORDS,
    STATUS_WORDS,
    contribution_of,
    days_headline,
    decision_headline,
    facts_of,
    lineage_facts,
    name_of,
    value_of,
)


def decision_lines(audit: DecisionAudit) -> Iterator[RenderableType]:
    """Yield what the terminal shows of the audit of one decision."""
    yield escaped(f"{audit.transaction_id}: {decision_headline(audit)}")
    yield ""
    yield _facts(facts_of(audit))
    yield ""
    yield _checks(audit)
    for check in audit.checks:
        if check.status is CheckStatus.DIFFERENT:
            yield ""
            yield f"DIFFERENT: {name_of(check.name)}" + escaped(f" ({check.why})" if check.why else "")
            yield escaped(f"  recorded: {check.recorded}")
            yield escaped(f"  computed: {check.computed or 'nothing'}")
    yield from (escaped(f"DIFFERENT: {fault}") for fault in audit.faults)
    for check in audit.with_status(CheckStatus.NOT_CHECKED):
        yield escaped(f"not checked: {name_of(check.name)}: {check.why}")
    yield from map(escaped, (f"note: {note}" for note in audit.notes))
    yield ""
    yield from _reasons(audit.reasons)
    for title, lineage in (("the model that decided", audit.model), ("the other model that scored", audit.shadow)):
        if lineage is not None:
            yield ""
            yield title
            yield from _lineage(lineage)


def days_lines(audit: DaysAudit) -> Iterator[RenderableType]:
    """Yield what the terminal shows of the audit of days."""
    counts = audit.counts
    yield f"{audit.first_day} to {audit.last_day}: {days_headline(audit)}"
    yield (
        f"{counts.degraded:,} by rules, {counts.control:,} approved by the control share; {audit.replayed:,}"
        f" transactions replayed in {audit.seconds:,.1f} s: {audit.decisions_per_core_second:,.0f} decisions per second"
        " and core"
    )
    yield ""
    table = _table("check", "equal", "different", "not checked")
    for check in counts.checks:
        table.add_row(
            name_of(check.name), f"{check.equal:,}", f"{check.different:,}", f"{sum(check.not_checked.values()):,}"
        )
    yield table
    for check in counts.checks:
        yield from _examples(check)
    if counts.undecided:
        where = ", ".join(f"{partition}:{offset}" for partition, offset in counts.first_undecided)
        yield ""
        yield f"DIFFERENT: {counts.undecided:,} transactions of these days have no decision; first at {where}"
    yield from (escaped(f"DIFFERENT: {fault}") for fault in audit.faults)
    yield ""
    models = _table("model", "decisions", "digest", "made to decide by", "evidence holds", numbers=1)
    for lineage in audit.models:
        facts = lineage_facts(lineage)
        number = f"{counts.models.get(lineage.version, 0):,}"
        models.add_row(
            lineage.version, number, lineage.digest[:12], facts["made to decide by"], facts["evidence holds"]
        )
    yield models
    yield ""
    policies = _table("policy", "decisions", "found in", numbers=1)
    for version, rows in counts.policies.items():
        policies.add_row(version, f"{rows:,}", audit.policies.get(version) or "not at hand")
    yield policies


def _checks(audit: DecisionAudit) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("check", "", "recorded"):
        table.add_column(title, overflow="fold")
    for check in audit.checks:
        table.add_row(name_of(check.name), STATUS_WORDS[check.status], escaped(check.recorded))
    return table


def _examples(check: CheckCounts) -> Iterator[str]:
    if check.different:
        yield ""
        yield f"DIFFERENT: {name_of(check.name)}, {check.different:,} decisions; the first:"
        for each in check.examples:
            why = f" ({each.why})" if each.why else ""
            yield escaped(f"  {each.partition}:{each.offset} {each.transaction_id}{why}")
            yield escaped(f"    recorded: {each.recorded}")
            yield escaped(f"    computed: {each.computed or 'nothing'}")
    for reason, rows in check.not_checked.items():
        yield escaped(f"not checked: {name_of(check.name)}, {rows:,} decisions: {reason}")


def _reasons(reasons: list[ReasonBasis]) -> Iterator[RenderableType]:
    if not reasons:
        yield "reasons: none"
        return
    yield "reasons, with the values that they rest on"
    for reason in reasons:
        yield escaped(f"  {reason.code}, {SOURCE_WORDS[reason.source]}: {reason.text}")
        for value in reason.values:
            bound = f", {value.condition}" if value.condition else ""
            share = contribution_of(value.contribution)
            yield escaped(
                f"    {value.name} = {value_of(value)}{bound}" + (f"; {share} of the margin" if share else "")
            )


def _lineage(lineage: ModelLineage) -> Iterator[RenderableType]:
    yield _facts(lineage_facts(lineage), indent="  ")
    if lineage.verdict:
        yield "  the verdict, with each measurement against its threshold"
    for line in lineage.verdict:
        yield escaped(f"    {_line(line)}")
    if lineage.moves:
        yield "  its moves on the ladder, with the verdict on the stage before each"
    for step in lineage.moves:
        yield escaped(f"    move {step.number}, {step.at}: {step.move}, by {step.by}: {step.reason}")
        yield from (escaped(f"      {_line(line)}") for line in step.checks)


def _line(line: VerdictLine) -> str:
    return f"{line.result}: {line.sentence}" if line.result else line.sentence


def _facts(facts: Mapping[str, str], indent: str = "") -> str:
    width = max(map(len, facts))
    return "\n".join(f"{indent}{name:<{width}}  {escaped(text)}" for name, text in facts.items())


def _table(*titles: str, numbers: int = -1) -> Table:
    """Return a table whose first column is text, and the next `numbers` ones, or all, are numbers."""
    table = Table(box=None, pad_edge=False)
    for place, title in enumerate(titles):
        is_number = place > 0 and (numbers < 0 or place <= numbers)
        table.add_column(title, justify="right" if is_number else "left", overflow="fold")
    return table
