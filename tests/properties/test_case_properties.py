"""Whatever people try with a case, it stays consistent; the order of the queue is the one of its definition."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import inf, isnan

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cardwatch.cases import history
from cardwatch.cases.case import CaseLabel, CaseOutcome, CaseState
from cardwatch.cases.history import CaseAction, CaseActionKind, CaseStatus, Investigator, status_of
from cardwatch.cases.queue import order_cases
from cardwatch.errors import CaseRefused, ScopeMissing
from cardwatch.events import LabelSource

NOON = datetime(2025, 1, 6, 12, tzinfo=UTC)
PEOPLE = [Investigator("anna"), Investigator("ben"), Investigator("chief", is_supervisor=True)]
people = st.sampled_from(PEOPLE)
Attempt = Callable[[CaseStatus, datetime], CaseAction]

attempts = st.one_of(
    st.builds(lambda by, to: lambda s, at: history.assign(s, by, at, to.name), people, people),
    st.builds(lambda by: lambda s, at: history.release(s, by, at), people),
    st.builds(lambda by: lambda s, at: history.note(s, by, at, "seen"), people),
    st.builds(lambda by, what: lambda s, at: history.decide(s, by, at, what), people, st.sampled_from(CaseOutcome)),
    st.builds(lambda by: lambda s, at: history.confirm(s, by, at), people),
)


def tried(wanted: list[Attempt]) -> list[CaseAction]:
    """Return the actions of those attempts that were allowed."""
    actions: list[CaseAction] = []
    for number, attempt in enumerate(wanted):
        try:
            actions.append(attempt(status_of(actions), NOON + timedelta(minutes=number)))
        except (CaseRefused, ScopeMissing):
            continue
    return actions


@given(st.lists(attempts, max_size=12))
def test_a_case_is_decided_at_most_once_by_whoever_had_it_or_a_supervisor_and_then_stays_so(
    wanted: list[Attempt],
) -> None:
    actions = tried(wanted)
    assert [action.version for action in actions] == list(range(1, len(actions) + 1))
    by_kind = [action.kind for action in actions]
    assert by_kind.count(CaseActionKind.DECIDE) <= 1
    assert by_kind.count(CaseActionKind.CONFIRM) <= by_kind.count(CaseActionKind.DECIDE)
    if CaseActionKind.DECIDE not in by_kind:
        assert status_of(actions).state is not CaseState.DECIDED
        return
    place = by_kind.index(CaseActionKind.DECIDE)
    decision, before = actions[place], status_of(actions[:place])
    assert decision.by in ("chief", before.assignee)
    assert set(by_kind[place + 1 :]) <= {CaseActionKind.NOTE, CaseActionKind.CONFIRM}
    after = status_of(actions)
    has_label = decision.outcome is not CaseOutcome.INCONCLUSIVE
    is_complete = not has_label or CaseActionKind.CONFIRM in by_kind
    assert (after.state is CaseState.DECIDED) == is_complete
    assert after.is_label_pending == (not is_complete)
    assert (after.outcome, after.decided_by, after.decided_at) == (decision.outcome, decision.by, decision.at)


@given(st.lists(attempts, max_size=12))
def test_only_a_supervisor_gives_a_case_to_somebody_else_or_takes_it_from_them(wanted: list[Attempt]) -> None:
    actions = tried(wanted)
    for place, action in enumerate(actions):
        before = status_of(actions[:place])
        if action.kind in (CaseActionKind.ASSIGN, CaseActionKind.RELEASE) and action.by != "chief":
            assert before.assignee in (None, action.by)
            assert action.assignee in (None, action.by)


@given(st.lists(attempts, max_size=12), st.sampled_from(LabelSource), st.booleans())
def test_only_a_label_of_an_investigator_decides_a_case_and_none_changes_a_decision(
    wanted: list[Attempt], source: LabelSource, is_fraud: bool
) -> None:
    actions = tried(wanted)
    label = CaseLabel(is_fraud=is_fraud, source=source, observed_at=NOON)
    before, after = status_of(actions), status_of(actions, [label])
    if source is not LabelSource.INVESTIGATOR or before.outcome is not None:
        assert after == before
        return
    assert (after.state, after.version, after.decided_by) == (CaseState.DECIDED, before.version, None)
    assert after.outcome is (CaseOutcome.FRAUD if is_fraud else CaseOutcome.GENUINE)


values = st.one_of(st.just(np.nan), st.integers(0, 4).map(float))
rows = st.tuples(values, values, st.integers(0, 2), st.booleans())


@given(st.lists(rows, max_size=25), st.one_of(st.none(), st.integers(1, 4)))
def test_the_order_is_that_of_its_definition(cases: list[tuple[float, float, int, bool]], capacity: int | None) -> None:
    losses, amounts, days, takes = (list(column) for column in zip(*cases, strict=True)) if cases else ([],) * 4
    order = order_cases(
        np.array(losses, np.float64), np.array(amounts, np.float64), np.array(days, np.int64),
        np.array(takes, np.bool_), capacity,
    )  # fmt: skip

    def key(place: int) -> tuple[float, float]:
        loss, amount = losses[place], amounts[place]
        return (inf if isnan(loss) else -loss, inf if isnan(amount) else -amount)

    best_first = sorted(range(len(cases)), key=key)
    used = dict.fromkeys(days, 0)
    within = set()
    for place in best_first:
        if takes[place] and (capacity is None or used[days[place]] < capacity):
            within.add(place)
            used[days[place]] += 1
    assert order.is_within_capacity.tolist() == [place in within for place in range(len(cases))]
    assert order.places.tolist() == sorted(best_first, key=lambda place: place not in within)
