"""What a watcher keeps of the topics, and how it looks."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from rich.console import Console
from rich.live import Live

from cardwatch.events import Action, Channel, Decision, Label, LabelSource, Transaction, encode
from cardwatch.live.frames import EventKind
from cardwatch.progress import (
    Bootstrapped,
    DayEmitted,
    DayMonitored,
    DriftDetected,
    ModelMoved,
    Progress,
    RateEnded,
    RateStarted,
    RetrainingEnded,
    RetrainingStarted,
)
from cardwatch.records import Record
from cardwatch.topics import DECISIONS, LABELS, PROGRESS, TRANSACTIONS
from cli.demo.chart import Bar, bars
from cli.demo.plan import DemoPlan
from cli.demo.recorder import Recorder
from cli.demo.screen import render
from cli.demo.snapshot import DemoSnapshot
from cli.demo.view import PlainView, open_view, plain_line, save_picture

FIRST = date(2025, 3, 1)
PLAN = DemoPlan(
    seed=1,
    cards=50,
    first_day=FIRST - timedelta(days=30),
    history_days=30,
    live_days=40,
    change_day=FIRST + timedelta(days=2),
    maturity_days=5,
    challenge_stops_fraud=0.75,
    offered_rate=300.0,
)


class SettableClock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def transaction(number: int, amount_minor: int = 1_000) -> Transaction:
    return Transaction(
        transaction_id=f"t-{number}",
        card_id="card-1",
        merchant_id="merchant-1",
        occurred_at=datetime(2025, 3, 1, 12, tzinfo=UTC) + timedelta(days=number),
        amount_minor=amount_minor,
        currency="EUR",
        merchant_category="5411",
        channel=Channel.CHIP,
        country="DE",
    )


def sent(number: int, *, at_ms: int) -> Record:
    return Record(TRANSACTIONS, 0, number, at_ms, b"card-1", encode(transaction(number)))


def decided(
    number: int,
    action: Action = Action.APPROVE,
    *,
    amount_minor: int = 1_000,
    version: str | None = "1",
    degraded: bool = False,
) -> Record:
    decision = Decision(
        transaction=transaction(number, amount_minor),
        partition=0,
        offset=number,
        sequence=1,
        features=[1.0],
        feature_schema="schema",
        table_id="table",
        model_version=version,
        policy_version="policy",
        action=action,
        reasons=[],
        degraded=degraded,
        decided_at=datetime(2025, 3, 1, tzinfo=UTC),
        latency_ms=1.0,
    )
    return Record(DECISIONS, 0, number, 0, b"card-1", encode(decision))


def labelled(number: int, *, is_fraud: bool = True) -> Record:
    at = datetime(2025, 3, 9, tzinfo=UTC)
    label = Label(
        transaction_id=f"t-{number}",
        card_id="card-1",
        merchant_id="merchant-1",
        is_fraud=is_fraud,
        effective_at=at,
        observed_at=at,
        source=LabelSource.CUSTOMER,
    )
    return Record(LABELS, 0, number, 0, b"card-1", encode(label))


def told(progress: Progress, *, at_ms: int = 0) -> Record:
    return Record(PROGRESS, 0, 0, at_ms, b"progress", msgspec.json.encode(progress))


def emitted(day: date, *, is_decided: bool = True) -> Record:
    return told(DayEmitted(day=day, transaction_ends={}, label_ends={}, decided=is_decided))


def monitored(day: date, average_precision: float | None, version: str = "1") -> Record:
    return told(
        DayMonitored(
            day=day,
            champion_version=version,
            average_precision=average_precision,
            baseline_average_precision=0.7,
            matured_frauds=40,
            drifted_features=["amount"],
            drift_share=0.1,
            state="stable",
        )
    )


def recorded(*records: Record) -> DemoSnapshot:
    recorder = Recorder(PLAN)
    recorder.take(records, arrived_ms=0.0)
    return recorder.snapshot()


def a_whole_story() -> DemoSnapshot:
    day = FIRST + timedelta(days=4)
    return recorded(
        emitted(FIRST - timedelta(days=1), is_decided=False),
        told(Bootstrapped(day=FIRST - timedelta(days=1), champion_version="1", average_precision=0.713)),
        decided(0),
        emitted(FIRST),
        monitored(FIRST, 0.71),
        emitted(FIRST + timedelta(days=2)),
        told(DriftDetected(day=day, champion_version="1", reasons=["average precision fell"])),
        told(RetrainingStarted(day=day, champion_version="1", reasons=["average precision fell"])),
        told(
            RetrainingEnded(
                day=day,
                challenger_version="2",
                promoted=True,
                reasons=["passed: enough rows", "passed: better than the champion"],
            )
        ),
        told(
            ModelMoved(
                day=day, number=2, kind="promote", version="2", champion_version="2", actor="ladder", reason="it passed"
            )
        ),
        decided(5, version="2"),
        monitored(day, 0.4, version="2"),
    )


def lines(snapshot: DemoSnapshot, width: int, height: int) -> list[str]:
    console = Console(width=width, height=height + 1, file=io.StringIO(), force_terminal=False)
    console.print(render(snapshot, width, height))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_declined_fraud_counts_as_caught_and_of_challenged_fraud_the_share_that_a_challenge_stops() -> None:
    fraud = recorded(
        decided(0, Action.CHALLENGE, amount_minor=300),
        decided(1, Action.DECLINE, amount_minor=500),
        decided(2, Action.APPROVE, amount_minor=900),
        decided(3, Action.DECLINE),
        labelled(0),
        labelled(1),
        labelled(2),
        labelled(3, is_fraud=False),
    ).fraud
    assert (fraud.known_frauds, fraud.known_minor) == (3, 1_700)
    assert (fraud.stopped_frauds, fraud.stopped_minor) == (1.75, 725)  # 500, and three quarters of 300
    assert fraud.alerts == 3


def test_fraud_is_counted_once_whichever_record_comes_first_and_however_often_it_is_labelled() -> None:
    assert recorded(labelled(0), decided(0), labelled(0)).fraud.known_frauds == 1
    assert recorded(labelled(77)).fraud.known_frauds == 0  # history, which nobody decided


def test_latency_runs_from_the_record_in_the_log_to_the_arrival_of_its_decision() -> None:
    recorder = Recorder(PLAN)
    recorder.take([sent(0, at_ms=1_000), decided(0)], arrived_ms=1_030.0)
    recorder.take([decided(1), sent(1, at_ms=1_010)], arrived_ms=1_060.0)  # read in the other order
    snapshot = recorder.snapshot()
    assert snapshot.latency_p50_ms == pytest.approx((30.0 + 50.0) / 2)
    assert (snapshot.transactions, snapshot.decisions) == (2, 2)


def test_only_what_was_sent_at_the_fixed_rate_is_measured() -> None:
    recorder = Recorder(PLAN)
    recorder.take([sent(0, at_ms=1_000), decided(0)], arrived_ms=1_900.0)
    recorder.take([told(RateStarted(day=FIRST, rate_per_second=2.0, seconds=1.0), at_ms=2_000)], arrived_ms=2_000.0)
    recorder.take([sent(1, at_ms=2_000), sent(2, at_ms=2_500)], arrived_ms=2_501.0)
    recorder.take([decided(1), decided(2)], arrived_ms=2_520.0)
    assert len(recorder.measured().latencies_ms) == 0  # not over yet
    recorder.take([told(RateEnded(day=FIRST, transactions=2, transaction_ends={}), at_ms=3_000)], arrived_ms=3_000.0)
    measured = recorder.measured()
    assert measured.latencies_ms.tolist() == [520.0, 20.0]
    assert measured.seconds == 1.0
    assert recorder.snapshot().measuring


def test_the_rate_is_that_of_the_last_seconds() -> None:
    clock = SettableClock()
    recorder = Recorder(PLAN, now_seconds=clock)
    clock.seconds += 2.0
    recorder.take([decided(number) for number in range(10)], arrived_ms=0.0)
    assert recorder.snapshot().rate_per_second == pytest.approx(10 / 2.0)
    clock.seconds += 60.0
    assert recorder.snapshot().rate_per_second == 0.0


def test_degraded_decisions_are_counted_and_name_no_model() -> None:
    snapshot = recorded(decided(0, version=None, degraded=True))
    assert snapshot.degraded == 1
    assert snapshot.serving_version is None


def test_the_timeline_tells_the_loop_in_order() -> None:
    assert [event.kind for event in a_whole_story().events] == [
        EventKind.HISTORY,
        EventKind.CHAMPION,
        EventKind.LIVE,
        EventKind.CHANGE,
        EventKind.DRIFT,
        EventKind.RETRAINING,
        EventKind.VERDICT,
        EventKind.CHAMPION,
        EventKind.SWAP,
    ]


def test_a_refused_challenger_leaves_the_champion_and_shows_the_failed_check_first() -> None:
    reasons = ["passed: enough rows", "FAILED: worse than the champion"]
    snapshot = recorded(
        told(Bootstrapped(day=FIRST, champion_version="1", average_precision=0.7)),
        told(RetrainingEnded(day=FIRST, challenger_version="2", promoted=False, reasons=reasons)),
    )
    assert snapshot.champion_version == "1"
    assert snapshot.events[-1].text == "v2 is refused, 1 of 2 checks failed"
    assert snapshot.events[-1].details == ["FAILED: worse than the champion", "enough rows"]


@pytest.mark.parametrize(("width", "height"), [(80, 23), (100, 29), (200, 60), (60, 16)])
def test_the_screen_never_exceeds_the_terminal(width: int, height: int) -> None:
    for snapshot in (DemoSnapshot(plan=PLAN), a_whole_story()):
        drawn = lines(snapshot, width, height)
        assert len(drawn) <= max(height, 14)  # below 14 lines the head, the facts and the chart remain
        assert max(len(line) for line in drawn) <= width


def test_the_newest_event_stands_on_the_last_line() -> None:
    drawn = lines(a_whole_story(), 80, 23)
    assert "v2 decides its first transaction" in "\n".join(drawn[-4:])
    assert [line for line in drawn if line.strip()][-1].strip().startswith("03-06")


def test_bars_fill_from_the_floor_in_eighths_of_a_line() -> None:
    drawn = bars([Bar(1.0, ""), Bar(0.5, ""), Bar(0.25, ""), Bar(0.0, ""), Bar(None, "")], rows=2)
    assert [line.plain for line in drawn] == ["█    ", "██▄▁·"]


def test_without_a_terminal_each_event_is_one_plain_line() -> None:
    out = io.StringIO()
    view = open_view(a_whole_story, Console(file=out, force_terminal=False))
    assert isinstance(view, PlainView)
    with view:
        pass
    written = out.getvalue().splitlines()
    assert len(written) == len(a_whole_story().events)
    assert written[4] == "2025-03-05  drift       v1 has decayed: average precision fell"
    assert "\x1b" not in out.getvalue()


def test_an_event_without_day_and_details_is_a_plain_line_too() -> None:
    recorder = Recorder(PLAN)
    recorder.note(EventKind.STACK, "Apache Kafka answers")
    assert plain_line(recorder.snapshot().events[0]) == "-           stack       Apache Kafka answers"


def test_on_a_terminal_the_screen_is_drawn_in_place_and_the_last_one_stays() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, height=24)
    view = open_view(a_whole_story, console)
    assert isinstance(view, Live)
    with view:
        pass
    assert "v2 decides its first transaction" in out.getvalue()


def test_the_picture_needs_nothing_from_outside(tmp_path: Path) -> None:
    picture = tmp_path / "demo.svg"
    save_picture(render(a_whole_story(), 100, 29), picture)
    drawn = picture.read_text(encoding="utf-8")
    assert "@font-face" not in drawn
    assert "url(" not in drawn.replace("url(#", "")
    assert "cardwatch" in drawn
