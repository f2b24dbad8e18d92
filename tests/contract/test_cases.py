"""What the case queue promises, whichever database the archive's index is in: SQLite, or PostgreSQL on a server."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec import structs

from adapters.archive.case_store import CaseStore
from adapters.archive.writer import ArchiveWriter, decision_row, label_row, transaction_row
from adapters.cases.desk import CaseDesk
from adapters.cases.shown import CaseFilter, CaseHistory
from cardwatch.cases.case import CaseOutcome, CaseState
from cardwatch.cases.history import CaseAction, CaseActionKind, Investigator
from cardwatch.cases.policy import CasePolicy
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.errors import (
    ArchiveUnavailable,
    BrokerUnavailable,
    CaseChanged,
    CaseUnknown,
    ScopeMissing,
    TransitionRefused,
)
from cardwatch.events import Action, Channel, Decision, Label, LabelSource, Transaction
from cardwatch.topics import DECISIONS, LABELS, TRANSACTIONS

NOON = datetime(2025, 1, 6, 12, tzinfo=UTC)
MONDAY = NOON.date()
HOUR = timedelta(hours=1)
ANNA, BEN, CHIEF = Investigator("anna"), Investigator("ben"), Investigator("chief", is_supervisor=True)
EVERY_STATE = frozenset(CaseState)


def decision(offset: int, **changes: Any) -> Decision:
    """A challenged online payment of 100.00 at noon with a probability of a half."""
    payment = {
        "transaction_id": f"t-{offset}", "card_id": "c", "merchant_id": "m", "occurred_at": NOON,
        "amount_minor": 10_000, "currency": "EUR", "merchant_category": "5732", "channel": Channel.ECOMMERCE,
        "country": "DE",
    }  # fmt: skip
    paid = {name: changes.pop(name) for name in list(changes) if name in payment}
    made = Decision(
        transaction=Transaction(**(payment | paid)), partition=0, offset=offset, sequence=1, features=[],
        feature_schema="s", table_id="t", model_version="1", policy_version="p", probability=0.5,
        action=Action.CHALLENGE, reasons=["DEVICE_IS_NEW"], decided_at=NOON, latency_ms=1.0,
    )  # fmt: skip
    return structs.replace(made, **changes)


class Desk(NamedTuple):
    """A desk on an archive, with the labels that it has written."""

    folder: Path
    url: str
    desk: CaseDesk
    written: list[Label]

    def archive(self, *decisions: Decision, labels: tuple[Label, ...] = ()) -> None:
        """Archive decisions with their transactions, and labels."""
        with closing(ArchiveWriter(self.folder, self.url)) as writer:
            paid = [transaction_row(each.transaction, each.partition, each.offset) for each in decisions]
            decided = [decision_row(each) for each in decisions]
            said = [label_row(each, 0, number) for number, each in enumerate(labels)]
            writer.write({TRANSACTIONS: paid, DECISIONS: decided, LABELS: said}, {})

    def with_parts(self, **changes: Any) -> CaseDesk:
        """Another desk on the same archive."""
        parts: dict[str, Any] = {
            "store": CaseStore(self.folder, self.url), "decision_policy": DecisionPolicy(), "policy": CasePolicy(),
            "write_label": self.written.append, "now": lambda: NOON + HOUR,
        }  # fmt: skip
        return CaseDesk(**(parts | changes))

    def ids(self, wanted: CaseFilter | None = None, **changes: Any) -> list[str]:
        return [case.transaction_id for case in self.with_parts(**changes).page(wanted or CaseFilter()).cases]

    def decided(self, offset: int = 0, by: Investigator = ANNA) -> CaseHistory:
        self.desk.assign((0, offset), None, by, by.name)
        return self.desk.decide((0, offset), None, by, CaseOutcome.FRAUD, "called")


@pytest.fixture(params=["sqlite", "postgresql"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres").new_database()
    empty = Desk(tmp_path / "archive", url, None, [])  # type: ignore[arg-type]
    yield empty._replace(desk=empty.with_parts())
    gc.collect()  # a connection that was not closed would say so now


def label_for(offset: int, source: LabelSource, *, is_fraud: bool = True) -> Label:
    return Label(
        transaction_id=f"t-{offset}", card_id="c", merchant_id="m", is_fraud=is_fraud, effective_at=NOON,
        observed_at=NOON + HOUR, source=source,
    )  # fmt: skip


def test_cases_are_the_alerts_of_the_archive_without_the_control_share(desk: Desk) -> None:
    desk.archive(
        decision(0),
        decision(1, action=Action.DECLINE),
        decision(2, action=Action.APPROVE),
        decision(3, action=Action.APPROVE, control_propensity=0.02),
    )
    page = desk.desk.page(CaseFilter())
    assert [case.transaction_id for case in page.cases] == ["t-0", "t-1"]
    assert (page.total, page.counts.by_state) == (2, {"open": 2, "assigned": 0, "decided": 0})
    case = page.cases[0]
    assert (case.expected_loss_minor, case.amount_minor, case.currency) == (5_000.0, 10_000, "EUR")
    assert (case.reasons, case.day, case.opened_at, case.version) == (["DEVICE_IS_NEW"], MONDAY, NOON, 0)


def test_the_largest_expected_loss_comes_first_within_the_capacity_of_its_day(desk: Desk) -> None:
    desk.archive(
        decision(0, probability=0.1),
        decision(1, probability=0.9),
        decision(2, probability=None),
        decision(3, probability=0.2, occurred_at=NOON - 24 * HOUR),
        decision(4, probability=0.5, amount_minor=20_000),
    )
    assert desk.ids() == ["t-4", "t-1", "t-3", "t-0", "t-2"]
    page = desk.with_parts(policy=CasePolicy(capacity_per_day=1)).page(CaseFilter())
    assert [(case.transaction_id, case.is_within_capacity) for case in page.cases] == [
        ("t-4", True), ("t-3", True), ("t-1", False), ("t-0", False), ("t-2", False),
    ]  # fmt: skip
    assert desk.ids(CaseFilter(is_within_capacity=False, limit=2, after=1), policy=CasePolicy(capacity_per_day=1)) == [
        "t-0", "t-2",
    ]  # fmt: skip
    assert desk.ids(CaseFilter(day=MONDAY - timedelta(days=1))) == ["t-3"]


def test_an_amount_is_converted_and_without_a_rate_there_is_no_expected_loss(desk: Desk) -> None:
    desk.archive(decision(0, amount_minor=50_000, currency="JPY"), decision(1), decision(2, currency="CHF"))
    page = desk.with_parts(decision_policy=DecisionPolicy(currency="EUR", rates={"JPY": 0.6})).page(CaseFilter())
    assert [(case.transaction_id, case.expected_loss_minor) for case in page.cases] == [
        ("t-0", 15_000.0), ("t-1", 5_000.0), ("t-2", None),
    ]  # fmt: skip
    assert {case.loss_currency for case in page.cases} == {"EUR"}


def test_a_case_is_due_by_its_action_and_overdue_after_that(desk: Desk) -> None:
    desk.archive(decision(0), decision(1, action=Action.DECLINE))
    policy = CasePolicy(challenge_hours=10, decline_hours=2, capacity_per_day=1)
    later = desk.with_parts(policy=policy, now=lambda: NOON + 3 * HOUR)
    cases = {case.transaction_id: case for case in later.page(CaseFilter()).cases}
    assert {name: case.due_at for name, case in cases.items()} == {"t-0": NOON + 10 * HOUR, "t-1": NOON + 2 * HOUR}
    assert [case.transaction_id for case in later.page(CaseFilter(is_overdue=True)).cases] == ["t-1"]
    assert (later.counts().overdue, later.counts().overdue_beyond) == (0, 1)
    later.decide((0, 1), None, CHIEF, CaseOutcome.GENUINE)
    assert (later.counts().overdue, later.counts().overdue_beyond) == (0, 0)


def test_the_queue_has_the_newest_days_and_an_older_case_is_found_by_its_day_and_by_its_transaction(desk: Desk) -> None:
    desk.archive(decision(0, occurred_at=NOON - 72 * HOUR), decision(1))
    policy = CasePolicy(queue_days=3)
    assert desk.ids(policy=policy) == ["t-1"]
    assert desk.ids(CaseFilter(day=MONDAY - timedelta(days=3)), policy=policy) == ["t-0"]
    assert desk.ids(CaseFilter(transaction_id="t-0"), policy=policy) == ["t-0"]
    assert desk.ids(CaseFilter(transaction_id="t-7"), policy=policy) == []


def test_a_case_is_worked_on_from_its_assignment_to_its_label(desk: Desk) -> None:
    desk.archive(decision(0))
    assert desk.desk.assign((0, 0), 0, ANNA, "anna").case.assignee == "anna"
    assert desk.ids(CaseFilter(assignee="anna")) == ["t-0"]
    assert desk.ids(CaseFilter(assignee="ben")) == []
    assert desk.desk.note((0, 0), 1, BEN, "looks like the shop of last week").case.version == 2
    assert desk.written == []
    decided = desk.desk.decide((0, 0), 2, ANNA, CaseOutcome.FRAUD, "called")
    assert (decided.case.state, decided.case.outcome, decided.case.version) == (CaseState.DECIDED, CaseOutcome.FRAUD, 4)
    assert [(action.kind.value, action.by, action.text) for action in decided.actions] == [
        ("assign", "anna", ""), ("note", "ben", "looks like the shop of last week"), ("decide", "anna", "called"),
        ("confirm", "anna", ""),
    ]  # fmt: skip
    assert desk.written == [label_for(0, LabelSource.INVESTIGATOR)]
    assert desk.ids() == []
    assert desk.ids(CaseFilter(states=EVERY_STATE)) == ["t-0"]
    assert desk.desk.counts().by_outcome == {"fraud": 1, "genuine": 0, "inconclusive": 0}
    with pytest.raises(TransitionRefused, match="decided \\(fraud, by 'anna'\\)"):
        desk.desk.decide((0, 0), None, CHIEF, CaseOutcome.GENUINE)


def test_an_inconclusive_case_is_decided_without_a_label(desk: Desk) -> None:
    desk.archive(decision(0))
    decided = desk.desk.decide((0, 0), 0, CHIEF, CaseOutcome.INCONCLUSIVE)
    assert (decided.case.state, desk.written, desk.desk.finish_pending()) == (CaseState.DECIDED, [], 0)


def test_what_is_not_allowed_changes_nothing(desk: Desk) -> None:
    desk.archive(decision(0))
    desk.desk.assign((0, 0), 0, ANNA, "anna")
    with pytest.raises(ScopeMissing):
        desk.desk.decide((0, 0), 1, BEN, CaseOutcome.FRAUD)
    with pytest.raises(CaseUnknown, match="no case at 0:7"):
        desk.desk.decide((0, 7), 0, ANNA, CaseOutcome.FRAUD)
    with pytest.raises(CaseUnknown, match="with the id 't-7'"):
        desk.desk.position_of("t-7")
    assert desk.desk.position_of("t-0") == (0, 0)
    assert (desk.desk.show((0, 0)).case.version, desk.written) == (1, [])


def test_somebody_who_has_not_seen_the_newest_version_is_told_so(desk: Desk) -> None:
    desk.archive(decision(0))
    desk.desk.assign((0, 0), 0, ANNA, "anna")
    for version in (0, 5):
        with pytest.raises(CaseChanged, match=f"has version 1 and not {version}"):
            desk.desk.note((0, 0), version, ANNA, "seen")


def test_a_request_whose_answer_was_lost_can_be_repeated(desk: Desk) -> None:
    desk.archive(decision(0))
    first = desk.desk.assign((0, 0), 0, ANNA, "anna")
    assert desk.desk.assign((0, 0), 0, ANNA, "anna") == first
    decided = desk.desk.decide((0, 0), 1, ANNA, CaseOutcome.FRAUD, "called")
    desk.archive(labels=tuple(desk.written))
    again = desk.desk.decide((0, 0), 1, ANNA, CaseOutcome.FRAUD, "called")
    assert again.actions == decided.actions
    assert len(desk.written) == 1
    with pytest.raises(CaseChanged):
        desk.desk.decide((0, 0), 1, ANNA, CaseOutcome.GENUINE, "called")


def test_of_people_who_take_the_same_case_at_once_one_wins_and_the_others_are_told(desk: Desk) -> None:
    desk.archive(decision(0))
    people = [Investigator(name) for name in ("anna", "ben", "carla", "dan")]
    at_once, outcomes = threading.Barrier(len(people)), dict[str, str]()

    def take(who: Investigator) -> None:
        own = desk.with_parts()
        at_once.wait()
        try:
            own.assign((0, 0), 0, who, who.name)
            outcomes[who.name] = "won"
        except CaseChanged:
            outcomes[who.name] = "lost"

    threads = [threading.Thread(target=take, args=(who,)) for who in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    [winner] = [name for name, outcome in outcomes.items() if outcome == "won"]
    assert sorted(outcomes.values()) == ["lost", "lost", "lost", "won"]
    shown = desk.desk.show((0, 0))
    assert (shown.case.assignee, len(shown.actions)) == (winner, 1)


def test_an_action_is_stored_once_and_never_changed(desk: Desk) -> None:
    desk.archive(decision(0))
    store = CaseStore(desk.folder, desk.url)
    first = CaseAction(version=1, kind=CaseActionKind.ASSIGN, by="anna", at=NOON, assignee="anna")
    assert store.append("t-0", first)
    assert not store.append("t-0", structs.replace(first, by="ben", assignee="ben"))
    assert store.actions("t-0") == [first]


def test_supervisors_who_decide_differently_at_once_leave_one_decision_and_its_label(desk: Desk) -> None:
    desk.archive(decision(0))
    at_once, outcomes = threading.Barrier(2), list[CaseOutcome]()

    def decide(outcome: CaseOutcome) -> None:
        own = desk.with_parts()
        at_once.wait()
        try:
            own.decide((0, 0), 0, CHIEF, outcome)
            outcomes.append(outcome)
        except CaseChanged:
            pass

    threads = [threading.Thread(target=decide, args=(each,)) for each in (CaseOutcome.FRAUD, CaseOutcome.GENUINE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    [won] = outcomes
    assert desk.desk.show((0, 0)).case.outcome is won
    assert {label.is_fraud for label in desk.written} == {won.is_fraud}


class CrashError(Exception):
    """The process has ended here."""


STEPS = ("before decide", "after decide", "before label", "after label", "before confirm", "after confirm")


class CrashingStore(CaseStore):
    """A store whose process ends at a step."""

    crash_at = ""

    def append(self, transaction_id: str, action: CaseAction) -> bool:
        if self.crash_at == f"before {action.kind.value}":
            raise CrashError
        done = super().append(transaction_id, action)
        if self.crash_at == f"after {action.kind.value}":
            raise CrashError
        return done


def crashing(desk: Desk, step: str) -> CaseDesk:
    """A desk whose process ends at a step of the decision."""
    store = CrashingStore(desk.folder, desk.url)
    store.crash_at = step

    def write(label: Label) -> None:
        if step == "before label":
            raise CrashError
        desk.written.append(label)
        if step == "after label":
            raise CrashError

    return desk.with_parts(store=store, write_label=write)


@pytest.mark.parametrize("goes_on", ["finish", "repeat", "another repeats"])
@pytest.mark.parametrize("step", STEPS)
def test_no_crash_leaves_a_decided_case_without_its_label_and_every_one_can_be_completed(
    desk: Desk, step: str, goes_on: str
) -> None:
    desk.archive(decision(0))
    desk.desk.assign((0, 0), 0, ANNA, "anna")
    with pytest.raises(CrashError):
        crashing(desk, step).decide((0, 0), 1, ANNA, CaseOutcome.FRAUD, "called")
    shown = desk.desk.show((0, 0)).case
    assert shown.state is not CaseState.DECIDED or desk.written
    later = desk.with_parts(now=lambda: NOON + 30 * HOUR)
    if goes_on == "finish":
        is_stored = step != "before decide"
        assert later.finish_pending() == (is_stored and step != "after confirm")
        assert desk.desk.show((0, 0)).case.state is (CaseState.DECIDED if is_stored else CaseState.ASSIGNED)
        if not is_stored:
            assert desk.written == []
            return
    elif goes_on == "repeat":
        assert later.decide((0, 0), 1, ANNA, CaseOutcome.FRAUD, "called").case.state is CaseState.DECIDED
    else:
        with pytest.raises((CaseChanged, ScopeMissing)):
            later.decide((0, 0), 1, BEN, CaseOutcome.FRAUD, "called")
        later.finish_pending()
        if step == "before decide":
            return
    # It may have been written twice, and then with the same bytes: observed when anna decided, if that was stored.
    observed = NOON + (30 if step == "before decide" else 1) * HOUR
    expected = structs.replace(label_for(0, LabelSource.INVESTIGATOR), observed_at=observed)
    assert set(map(repr, desk.written)) == {repr(expected)}
    kinds = [action.kind for action in desk.desk.show((0, 0)).actions]
    assert kinds == [CaseActionKind.ASSIGN, CaseActionKind.DECIDE, CaseActionKind.CONFIRM]
    assert later.finish_pending() == 0


def test_a_broker_that_is_away_leaves_the_case_waiting_for_its_label(desk: Desk) -> None:
    desk.archive(decision(0))

    def away(_: Label) -> None:
        raise BrokerUnavailable("no broker")

    with pytest.raises(BrokerUnavailable):
        desk.with_parts(write_label=away).decide((0, 0), 0, CHIEF, CaseOutcome.FRAUD)
    shown = desk.desk.show((0, 0)).case
    assert (shown.state, shown.is_label_pending, shown.outcome) == (CaseState.OPEN, True, CaseOutcome.FRAUD)
    assert desk.desk.counts().labels_pending == 1
    with pytest.raises(TransitionRefused, match="is being decided"):
        desk.desk.assign((0, 0), 1, ANNA, "anna")
    assert desk.desk.finish_pending() == 1
    assert desk.desk.show((0, 0)).case.state is CaseState.DECIDED


def test_notes_that_come_in_between_do_not_keep_a_decision_from_its_end(desk: Desk) -> None:
    desk.archive(decision(0))
    store, notes = CaseStore(desk.folder, desk.url), iter(range(3))

    def write_while_others_take_notes(label: Label) -> None:
        desk.written.append(label)
        if next(notes, None) is not None:
            version = len(store.actions("t-0")) + 1
            assert store.append("t-0", CaseAction(version=version, kind=CaseActionKind.NOTE, by="ben", at=NOON))

    desk.with_parts(write_label=write_while_others_take_notes).decide((0, 0), 0, CHIEF, CaseOutcome.FRAUD)
    shown = desk.desk.show((0, 0))
    assert shown.case.state is CaseState.DECIDED
    kinds = [action.kind for action in shown.actions]
    assert kinds == [CaseActionKind.DECIDE, *[CaseActionKind.NOTE] * 3, CaseActionKind.CONFIRM]
    assert len({repr(label) for label in desk.written}) == 1


def test_a_label_of_another_source_is_shown_and_leaves_the_capacity_to_a_case_that_nobody_answered(desk: Desk) -> None:
    desk.archive(decision(0, probability=0.9), decision(1), labels=(label_for(0, LabelSource.CUSTOMER),))
    policy = CasePolicy(capacity_per_day=1)
    page = desk.with_parts(policy=policy).page(CaseFilter())
    assert [(case.transaction_id, case.is_within_capacity) for case in page.cases] == [("t-1", True), ("t-0", False)]
    answered = page.cases[1]
    assert (answered.state, [label.source for label in answered.labels]) == (CaseState.OPEN, [LabelSource.CUSTOMER])
    # Who has decided it has used the capacity.
    desk.desk.decide((0, 0), 0, CHIEF, CaseOutcome.FRAUD)
    page = desk.with_parts(policy=policy).page(CaseFilter(states=EVERY_STATE))
    assert [(case.transaction_id, case.is_within_capacity) for case in page.cases] == [("t-0", True), ("t-1", False)]


def test_a_label_of_an_investigator_outside_of_the_queue_decides_the_case(desk: Desk) -> None:
    desk.archive(decision(0), labels=(label_for(0, LabelSource.INVESTIGATOR, is_fraud=False),))
    shown = desk.desk.show((0, 0)).case
    assert (shown.state, shown.outcome, shown.decided_by) == (CaseState.DECIDED, CaseOutcome.GENUINE, None)
    assert desk.ids() == []


def test_an_archive_of_a_former_version_gets_its_cases_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as former:
        former.setattr("adapters.archive.writer.alert_rows", lambda _rows: [])
        desk.archive(
            decision(0), decision(1, currency="JPY"), decision(2, action=Action.APPROVE),
            decision(3, occurred_at=NOON - 24 * HOUR),
        )  # fmt: skip
    desk.archive(decision(4))
    assert desk.ids() == ["t-4"]
    with closing(ArchiveWriter(desk.folder, desk.url)) as writer:
        assert writer.fill_alerts() == 4  # t-4 is read again, and stays as it is
    with closing(ArchiveWriter(desk.folder, desk.url)) as writer:
        assert writer.fill_alerts() is None
    cases = {case.transaction_id: case.currency for case in desk.desk.page(CaseFilter()).cases}
    assert cases == {"t-0": "EUR", "t-1": "JPY", "t-3": "EUR", "t-4": "EUR"}


def test_a_new_archive_has_nothing_to_fill(desk: Desk) -> None:
    with closing(ArchiveWriter(desk.folder, desk.url)) as writer:
        assert (writer.fill_alerts(), writer.fill_alerts()) == (0, None)
    page = desk.desk.page(CaseFilter())
    assert (page.cases, page.total) == ([], 0)
    with pytest.raises(CaseUnknown):
        desk.desk.show((0, 0))


def test_without_an_archive_there_are_no_cases_and_none_is_made(tmp_path: Path) -> None:
    absent = CaseStore(tmp_path / "archive")
    calls: list[Callable[[], object]] = [
        lambda: absent.lines(date.min, date.max),
        lambda: absent.append("t", CaseAction(version=1, kind=CaseActionKind.NOTE, by="anna", at=NOON)),
    ]
    for call in calls:
        with pytest.raises(ArchiveUnavailable, match="there is no archive"):
            call()
    assert not (tmp_path / "archive").exists()


def test_any_id_that_a_record_may_have_is_a_case(desk: Desk) -> None:
    odd = "'; DROP TABLE alerts; -- /?#%\u00e9\u2028\U0001f600"
    desk.archive(decision(0, transaction_id=odd, reasons=["\x00\x1b[2J"]))
    assert desk.desk.position_of(odd) == (0, 0)
    shown = desk.desk.decide((0, 0), 0, CHIEF, CaseOutcome.GENUINE)
    assert (shown.case.transaction_id, shown.case.reasons) == (odd, ["\x00\x1b[2J"])
    assert desk.written[0].transaction_id == odd
