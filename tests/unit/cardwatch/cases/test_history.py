"""Actions on a case, one by one: who may do what, and what a decision becomes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cardwatch.cases.case import Case, CaseLabel, CaseOutcome, CaseState
from cardwatch.cases.history import (
    MAX_TEXT,
    CaseAction,
    CaseActionKind,
    Investigator,
    assign,
    clean_text,
    confirm,
    decide,
    note,
    release,
    require_name,
    status_of,
)
from cardwatch.cases.labels import label_of
from cardwatch.cases.policy import CasePolicy
from cardwatch.errors import InvalidRecord, ScopeMissing, TransitionRefused
from cardwatch.events import Action, Channel, Label, LabelSource

NOON = datetime(2025, 1, 6, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
ANNA, BEN, CHIEF = Investigator("anna"), Investigator("ben"), Investigator("chief", is_supervisor=True)
CASE = Case(
    transaction_id="t", card_id="c", merchant_id="m", partition=2, offset=17, occurred_at=NOON,
    channel=Channel.ECOMMERCE, amount_minor=9_900, currency="EUR", action=Action.CHALLENGE, probability=0.4,
    reasons=["DEVICE_IS_NEW"], model_version="3",
)  # fmt: skip


def assigned_to_anna() -> list[CaseAction]:
    return [assign(status_of([]), ANNA, NOON, "anna")]


def test_a_case_is_taken_put_back_and_taken_by_another() -> None:
    actions = assigned_to_anna()
    assert (status_of(actions).state, status_of(actions).assignee) == (CaseState.ASSIGNED, "anna")
    actions.append(release(status_of(actions), ANNA, NOON))
    assert (status_of(actions).state, status_of(actions).assignee) == (CaseState.OPEN, None)
    actions.append(assign(status_of(actions), BEN, NOON, "ben"))
    assert status_of(actions).assignee == "ben"
    assert status_of(actions).version == 3


@pytest.mark.parametrize(
    "attempt",
    [
        lambda s: assign(s, BEN, NOON, "ben"),
        lambda s: assign(s, ANNA, NOON, "ben"),
        lambda s: release(s, BEN, NOON),
        lambda s: decide(s, BEN, NOON, CaseOutcome.FRAUD),
    ],
    ids=["take", "give away", "release", "decide"],
)
def test_a_case_of_somebody_else_takes_a_supervisor(attempt) -> None:
    with pytest.raises(ScopeMissing, match="cases:supervise"):
        attempt(status_of(assigned_to_anna()))


def test_a_supervisor_may_do_all_that() -> None:
    status = status_of(assigned_to_anna())
    assert assign(status, CHIEF, NOON, "ben").assignee == "ben"
    assert release(status, CHIEF, NOON).by == "chief"
    assert decide(status, CHIEF, NOON, CaseOutcome.FRAUD).by == "chief"
    assert decide(status_of([]), CHIEF, NOON, CaseOutcome.FRAUD).version == 1


def test_what_the_state_forbids_is_refused_with_the_reason() -> None:
    with pytest.raises(TransitionRefused, match="assigned to nobody: assign it to yourself"):
        decide(status_of([]), ANNA, NOON, CaseOutcome.FRAUD)
    with pytest.raises(TransitionRefused, match="assigned to nobody, so it cannot be released"):
        release(status_of([]), CHIEF, NOON)
    with pytest.raises(TransitionRefused, match="assigned to 'anna' already"):
        assign(status_of(assigned_to_anna()), ANNA, NOON, "anna")
    with pytest.raises(TransitionRefused, match="waits for no label"):
        confirm(status_of(assigned_to_anna()), ANNA, NOON)


@pytest.mark.parametrize("is_confirmed", [False, True])
def test_from_its_decision_on_a_case_can_only_be_noted(is_confirmed: bool) -> None:
    actions = assigned_to_anna()
    actions.append(decide(status_of(actions), ANNA, LATER, CaseOutcome.GENUINE, "called"))
    if is_confirmed:
        actions.append(confirm(status_of(actions), ANNA, LATER))
    status = status_of(actions)
    assert status.state is (CaseState.DECIDED if is_confirmed else CaseState.ASSIGNED)
    said = "is decided" if is_confirmed else "is being decided"
    for by in (ANNA, CHIEF):
        for attempt in (
            lambda by=by: decide(status, by, LATER, CaseOutcome.FRAUD),
            lambda by=by: assign(status, by, LATER, "ben"),
            lambda by=by: release(status, by, LATER),
        ):
            with pytest.raises(TransitionRefused, match=f"{said} \\(genuine, by 'anna'\\)"):
                attempt()
    assert note(status, BEN, LATER, "thanks").kind is CaseActionKind.NOTE


@pytest.mark.parametrize(("outcome", "is_fraud"), [(CaseOutcome.FRAUD, True), (CaseOutcome.GENUINE, False)])
def test_a_decision_becomes_a_label_of_its_time_whoever_writes_it(outcome: CaseOutcome, is_fraud: bool) -> None:
    actions = assigned_to_anna()
    assert label_of(CASE, status_of(actions)) is None
    actions.append(decide(status_of(actions), ANNA, LATER, outcome))
    expected = Label(
        transaction_id="t", card_id="c", merchant_id="m", is_fraud=is_fraud, effective_at=NOON, observed_at=LATER,
        source=LabelSource.INVESTIGATOR,
    )  # fmt: skip
    assert label_of(CASE, status_of(actions)) == expected
    actions.append(note(status_of(actions), BEN, LATER + timedelta(days=1), "why?"))
    actions.append(confirm(status_of(actions), BEN, LATER + timedelta(days=2)))
    assert label_of(CASE, status_of(actions)) == expected


def test_an_inconclusive_decision_is_complete_without_a_label() -> None:
    actions = assigned_to_anna()
    actions.append(decide(status_of(actions), ANNA, LATER, CaseOutcome.INCONCLUSIVE, "nobody answers"))
    assert status_of(actions).state is CaseState.DECIDED
    assert not status_of(actions).is_label_pending
    assert label_of(CASE, status_of(actions)) is None


def test_a_label_that_was_given_outside_of_the_queue_decides_the_case_and_is_not_given_again() -> None:
    given = [
        CaseLabel(is_fraud=is_fraud, source=LabelSource.INVESTIGATOR, observed_at=NOON + timedelta(days=days))
        for is_fraud, days in ((True, 1), (False, 3), (True, 2))
    ]
    status = status_of(assigned_to_anna(), given)
    assert (status.state, status.outcome, status.decided_by) == (CaseState.DECIDED, CaseOutcome.GENUINE, None)
    assert status.decided_at == NOON + timedelta(days=3)
    assert label_of(CASE, status) is None
    with pytest.raises(TransitionRefused, match="by a label outside of the queue"):
        decide(status, ANNA, LATER, CaseOutcome.FRAUD)


def test_the_same_action_again_is_recognised_whatever_its_time() -> None:
    first = decide(status_of(assigned_to_anna()), ANNA, NOON, CaseOutcome.FRAUD, "called")
    again = decide(status_of(assigned_to_anna()), ANNA, LATER, CaseOutcome.FRAUD, "called")
    other = decide(status_of(assigned_to_anna()), ANNA, LATER, CaseOutcome.FRAUD, "mailed")
    assert again.repeats(first)
    assert not other.repeats(first)


@pytest.mark.parametrize("text", ["a\x00b", "\x1b[2J", "a\x85b", "\u2028", "\ud800", "x" * (MAX_TEXT + 1)])
def test_a_text_that_a_database_or_a_terminal_cannot_take_is_refused(text: str) -> None:
    with pytest.raises(InvalidRecord):
        clean_text(text)
    with pytest.raises(InvalidRecord):
        note(status_of([]), ANNA, NOON, text)


def test_a_text_may_have_lines_and_no_card_number() -> None:
    assert clean_text("called:\n\tsays yes \u00e9") == "called:\n\tsays yes \u00e9"
    assert "4111" not in clean_text("card 4111 1111 1111 1111, called")
    with pytest.raises(InvalidRecord, match="without text"):
        note(status_of([]), ANNA, NOON, " \n")


@pytest.mark.parametrize("name", ["", " anna", "anna ", "a\nb", "a\x00", "x" * 65, "a;b", "\ud800"])
def test_a_name_that_no_key_could_have_is_refused(name: str) -> None:
    with pytest.raises(InvalidRecord, match="is no name"):
        require_name(name, "$.to")


@pytest.mark.parametrize("name", ["a", "Anna B", "anna@bank.example", "x" * 64, "\u00e9ve"])
def test_other_names_are_taken(name: str) -> None:
    assert require_name(name, "$.to") == name


def test_a_case_is_due_by_its_action() -> None:
    policy = CasePolicy(challenge_hours=24.0, decline_hours=0.5)
    assert policy.due_at(Action.CHALLENGE, NOON) == NOON + timedelta(days=1)
    assert policy.due_at(Action.DECLINE, NOON) == NOON + timedelta(minutes=30)
