"""Quarantine of days: which days are excluded because the data contract failed, and whether it is open now.

A function of the progress records alone, so that a restart rebuilds it. Each monitored day brings its findings: a
finding that blocks opens the quarantine, and the days that it affects are excluded. The first monitored day without one
closes it: retraining may go on, and the days stay excluded until they are released by hand. Released days count as
right, and so do later values like those that were found on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

from msgspec import Struct, structs

from cardwatch.data_contract.finding import ALL_RECORDS, DataFinding

_DAY = timedelta(days=1)


class QuarantineState(Struct, frozen=True, kw_only=True):
    """State after the newest monitored day.

    `found` has the blocking findings per day, without released ones; `open_findings` are those of the newest monitored
    day `newest`. `accepted` are the findings that were released while `champion_version` was champion: the contract of
    another champion is learned from released days too.
    """

    found: dict[date, tuple[DataFinding, ...]] = {}
    newest: date | None = None
    open_findings: tuple[DataFinding, ...] = ()
    accepted: tuple[DataFinding, ...] = ()
    champion_version: str | None = None

    @property
    def excluded_days(self) -> frozenset[date]:
        """The days that training, judging, drift and measured performance leave out."""
        return affected_days(finding for findings in self.found.values() for finding in findings)

    def accepted_for(self, champion_version: str) -> tuple[DataFinding, ...]:
        """Return the accepted findings of this champion."""
        return self.accepted if champion_version == self.champion_version else ()


def affected_days(findings: Iterable[DataFinding]) -> frozenset[date]:
    """Return the days that blocking findings affect: from `affects_from` to the day of the finding."""
    return frozenset(
        finding.affects_from + number * _DAY
        for finding in findings
        if finding.blocks
        for number in range((finding.day - finding.affects_from).days + 1)
    )


def with_since(state: QuarantineState, findings: Sequence[DataFinding]) -> list[DataFinding]:
    """Return the findings of a day, each with the day since when it is found without interruption."""
    since = {finding.subject: finding.since for finding in state.open_findings}
    return [structs.replace(finding, since=since.get(finding.subject, finding.since)) for finding in findings]


def after_day(
    state: QuarantineState, day: date, champion_version: str, findings: Sequence[DataFinding]
) -> QuarantineState:
    """Return the state after a monitored day. Days are monitored in order."""
    blocking = tuple(finding for finding in findings if finding.blocks)
    return structs.replace(
        state,
        found={**state.found, day: blocking} if blocking else state.found,
        newest=day,
        open_findings=blocking,
        accepted=state.accepted_for(champion_version),
        champion_version=champion_version,
    )


def after_release(state: QuarantineState, first: date, last: date) -> QuarantineState:
    """Return the state after the days `first` to `last` were released; days without findings are no error.

    A finding is released with the day on which it was found. Releasing the newest day closes the quarantine.
    """
    released = {day: findings for day, findings in state.found.items() if first <= day <= last}
    return structs.replace(
        state,
        found={day: findings for day, findings in state.found.items() if day not in released},
        open_findings=() if state.newest in released else state.open_findings,
        accepted=(*state.accepted, *(finding for day in sorted(released) for finding in released[day])),
    )


def newest_days(days: Iterable[date], count: int, excluded: frozenset[date]) -> list[date]:
    """Return the newest `count` of `days` that are not excluded, in order."""
    return sorted(day for day in days if day not in excluded)[-count:]


def blocked_reasons(findings: Sequence[DataFinding]) -> list[str]:
    """Return why findings block a retraining: one sentence with their columns, or nothing."""
    blocking = [finding for finding in findings if finding.blocks]
    if not blocking:
        return []
    columns = ", ".join(dict.fromkeys(name_of_column(finding.column) for finding in blocking))
    since = min(finding.since for finding in blocking)
    return [f"retraining is blocked by a quarantine since {since}: the data contract fails for {columns}"]


def sentences_of(findings: Sequence[DataFinding]) -> list[str]:
    """Return the findings in words: of each check and column the first one, with the number of further channels."""
    by_column: dict[tuple[str, str], list[DataFinding]] = {}
    for finding in findings:
        by_column.setdefault((finding.check, finding.column), []).append(finding)
    return [
        f"{first.sentence}" + (f" (and {len(others)} more channels)" if others else "") + _since(first)
        for first, *others in by_column.values()
    ]


def name_of_column(column: str) -> str:
    """Return a column as people read it."""
    return "the records" if column == ALL_RECORDS else column


def _since(finding: DataFinding) -> str:
    return f", since {finding.since}" if finding.since != finding.day else ""
