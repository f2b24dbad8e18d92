"""What a demo concludes, on a small archive whose numbers can be worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from adapters.archive.reader import Archive
from benchmarks.demo_seeds import of_summary
from cardwatch.live.frames import EventFrame, EventKind, Money
from cardwatch.progress import DayEmitted, DayMonitored, DriftDetected, ModelMoved, Progress, RetrainingEnded
from cardwatch.records import Record
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cardwatch.simulation.transaction_array import Typology
from cli.demo.acceptance import checks
from cli.demo.outcomes import true_frauds
from cli.demo.plan import DemoPlan
from cli.demo.recorder import MeasuredLoad
from cli.demo.report import write_report
from cli.demo.snapshot import DemoSnapshot
from cli.demo.summary import DemoSummary, measure, summarise
from cli.demo.table import headline
from cli.demo.topic_audit import DecisionLedger, TopicAudit

FIRST = date(2025, 3, 1)
DAYS = 9
CHANGE, PROMOTION = 3, 5
MATURITY = 1


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


class Row(NamedTuple):
    number: int
    name: str
    margin: float | None
    is_fraud: bool
    action: str = "approve"
    amount_minor: int = 1_000

    @property
    def transaction_id(self) -> str:
        return f"t-{self.number}-{self.name}"


class SmallArchive(Archive):
    """Decisions and labels; each label is observed at noon of the day after its transaction."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows

    def decisions(self, first: date, last: date) -> pa.Table:
        rows = [row for row in self.rows if first <= day(row.number) <= last]
        return pa.table(
            {
                "transaction_id": [row.transaction_id for row in rows],
                "card_id": [f"card-{row.name}" for row in rows],
                "occurred_at": pa.array([noon(row.number) for row in rows], pa.timestamp("ms", "UTC")),
                "amount_minor": pa.array([row.amount_minor for row in rows], pa.int64()),
                "margin": pa.array([row.margin for row in rows], pa.float32()),
                "model_version": pa.array(["1" if row.number <= PROMOTION else "2" for row in rows]),
                "action": pa.array([row.action for row in rows]),
            }
        )

    def labels(self, observed_before: datetime) -> pa.Table:
        rows = [row for row in self.rows if row.is_fraud and noon(row.number + 1) < observed_before]
        return pa.table(
            {
                "transaction_id": pa.array([row.transaction_id for row in rows], pa.string()),
                "is_fraud": pa.array([True] * len(rows), pa.bool_()),
                "observed_at": pa.array([noon(row.number + 1) for row in rows], pa.timestamp("ms", "UTC")),
                "partition": pa.array([0] * len(rows), pa.int32()),
                "log_offset": pa.array(list(range(len(rows))), pa.int64()),
            }
        )


def noon(number: int) -> datetime:
    return datetime.combine(day(number), time(12), UTC)


def ranked(number: int, fraud_ranks: Sequence[int]) -> list[Row]:
    """Four transactions of a day, riskiest first; the frauds lie at these ranks (from 1)."""
    return [
        Row(number, f"rank-{rank}", 4.0 - rank, rank in fraud_ranks, "challenge" if rank == 1 else "approve")
        for rank in range(1, 5)
    ]


def plan(change_day: int | None = CHANGE) -> DemoPlan:
    return DemoPlan(
        seed=7,
        cards=50,
        first_day=FIRST - timedelta(days=30),
        history_days=30,
        live_days=40,
        change_day=None if change_day is None else day(change_day),
        maturity_days=MATURITY,
        challenge_stops_fraud=0.75,
        offered_rate=300.0,
    )


def emitted() -> list[Progress]:
    return [DayEmitted(day=day(n), transaction_ends={}, label_ends={}, decided=True) for n in range(DAYS)]


def loop() -> list[Progress]:
    """Drift is found at the end of day 4, the first challenger refused; at the end of day 5 the second is promoted."""
    return [
        *emitted(),
        DayMonitored(
            day=day(4),
            champion_version="1",
            average_precision=0.3,
            baseline_average_precision=0.7,
            matured_frauds=40,
            drifted_features=["speed", "amount"],
            drift_share=0.25,
            state="decayed",
        ),
        DriftDetected(day=day(4), champion_version="1", reasons=["average precision fell"]),
        RetrainingEnded(day=day(4), challenger_version="2", promoted=False, reasons=["FAILED: too few frauds"]),
        RetrainingEnded(day=day(4), challenger_version="3", promoted=True, reasons=["passed: better"]),
        *(
            ModelMoved(
                day=day(PROMOTION if kind == "promote" else 4),
                number=number,
                kind=kind,
                version="3",
                champion_version="3" if kind == "promote" else "1",
                actor="ladder",
                reason="it passed",
            )
            for number, kind in enumerate(("challenge", "shadow", "canary", "promote"), start=2)
        ),
    ]


def counts(*, lost: int = 0, duplicates: int = 0) -> TopicAudit:
    return TopicAudit(
        transactions=36, decisions=36, dead_letters=0, repeats=0, lost=lost, duplicates=duplicates, strays=0
    )


def summary(
    rows: Sequence[Row],
    progress: Sequence[Progress],
    *,
    change_day: int | None = CHANGE,
    lost: int = 0,
    latencies_ms: Sequence[float] = (),
) -> DemoSummary:
    snapshot = DemoSnapshot(plan=plan(change_day), elapsed_seconds=60.0, fraud=Money(currency="EUR"))
    timings = measure(MeasuredLoad(np.array(latencies_ms, np.float64), 2.0), snapshot, counts(lost=lost))
    frauds = {row.transaction_id for row in rows if row.is_fraud}
    return summarise(snapshot, SmallArchive(rows), progress, timings, frauds)


def rows_of_a_closed_loop() -> list[Row]:
    """Each day one of four is fraud. Ranks per day before: 1, 1, 4; after, three days: 4; after the swap: 1."""
    ranks = [1, 1, 4, 4, 4, 4, 1, 1, 1]
    return [row for number, rank in enumerate(ranks) for row in ranked(number, [rank])]


def test_phases_end_where_the_change_the_promotion_and_the_live_days_end() -> None:
    phases = summary(rows_of_a_closed_loop(), loop()).facts.phases
    assert [(phase.name, phase.first_day, phase.last_day) for phase in phases] == [
        ("before", day(0), day(2)),
        ("after", day(3), day(5)),
        ("swapped", day(6), day(8)),
    ]


def test_average_precision_of_a_phase_is_that_of_its_recorded_margins() -> None:
    phases = {phase.name: phase.quality for phase in summary(rows_of_a_closed_loop(), loop()).facts.phases}
    # Before: 3 rows share the highest margin, 2 of them fraud (precision 2/3 at recall 2/3); the third fraud is found
    # when all 12 rows are taken (precision 3/12): 2/3 * 2/3 + 1/3 * 1/4 = 19/36.
    assert phases["before"].average_precision == pytest.approx(19 / 36)
    assert phases["after"].average_precision == pytest.approx(3 / 12)  # found only when all rows are taken
    assert phases["swapped"].average_precision == pytest.approx(1.0)
    assert phases["swapped"].recall == pytest.approx(1.0)


def test_caught_fraud_is_what_was_declined_and_the_share_of_challenges_that_stops_it() -> None:
    rows = [
        Row(0, "a", 3.0, True, "decline", 700),
        Row(0, "b", 2.0, True, "challenge", 200),
        Row(0, "c", 1.0, True, "approve", 50),
        Row(0, "d", 0.0, False, "challenge", 10_000),
        Row(0, "e", 4.0, False, "decline", 3_000),
    ]
    quality = summary(rows, loop()).facts.days[0].quality
    assert (quality.frauds, quality.frauds_caught, quality.alarms) == (3, 1.75, 4)
    assert (quality.caught_minor, quality.missed_minor) == (850, 100)  # 700 and three quarters of 200
    # Nobody said what the riskiest one was: it is genuine, and ranks before the three frauds.
    assert quality.censored == 1
    assert quality.average_precision == pytest.approx((1 / 2 + 2 / 3 + 3 / 4) / 3)


def test_decisions_without_a_score_count_as_transactions_but_are_not_ranked() -> None:
    rows = [*ranked(0, [1]), Row(0, "degraded", None, True, "challenge")]
    quality = summary(rows, loop()).facts.days[0].quality
    assert (quality.transactions, quality.frauds) == (5, 2)
    assert quality.average_precision == pytest.approx(1.0)


def test_fraud_without_a_label_counts_because_the_simulation_knows_it() -> None:
    quality = summary(rows_of_a_closed_loop(), loop()).facts.days[DAYS - 1].quality
    assert quality.frauds == 1  # its label comes after the last day


def test_the_true_frauds_are_those_of_the_simulated_events() -> None:
    world = SimulationSettings(seed=3, cards=400, fraud_share=0.05)
    simulation = Simulation(world)
    days = [simulation.day(number) for number in range(6)]
    expected = {
        transaction.transaction_id
        for events in days
        for transaction, truth in zip(events.transactions, events.truth, strict=True)
        if truth.typology is not Typology.GENUINE
    }
    assert len(expected) > 5
    assert true_frauds(world, 6) == expected


def test_delays_count_whole_days_and_the_transactions_decided_in_them() -> None:
    facts = summary(rows_of_a_closed_loop(), loop()).facts
    assert facts.change_to_detection is not None
    assert facts.detection_to_promotion is not None
    assert (facts.change_to_detection.days, facts.change_to_detection.transactions) == (2, 8)  # days 3 and 4
    assert (facts.detection_to_promotion.days, facts.detection_to_promotion.transactions) == (1, 4)  # day 5


def test_the_rolling_average_does_not_look_across_the_swap() -> None:
    days = summary(rows_of_a_closed_loop(), loop()).facts.days
    assert days[5].average_precision == pytest.approx(1 / 4)
    assert days[6].average_precision == pytest.approx(1.0)


def test_each_day_names_its_model_and_what_had_drifted() -> None:
    days = summary(rows_of_a_closed_loop(), loop()).facts.days
    assert [days[5].version, days[6].version] == ["1", "2"]
    assert (days[4].drift_share, days[4].drifted_features, days[4].drift_state) == (
        0.25,
        ["amount", "speed"],
        "decayed",
    )


def test_the_comparison_of_seeds_takes_its_figures_from_the_summary() -> None:
    result = summary(rows_of_a_closed_loop(), loop())
    run = of_summary(7, result)
    assert (run.seed, run.closed, run.failed) == (7, True, [])
    assert run.average_precision == [phase.quality.average_precision for phase in result.facts.phases]
    assert result.facts.change_to_detection is not None
    assert run.days_to_detection == result.facts.change_to_detection.days


def test_a_loop_that_closed_says_so() -> None:
    result = summary(rows_of_a_closed_loop(), loop())
    assert result.facts.closed, [check.sentence for check in result.facts.checks if not check.passed]
    assert headline(result) == "The loop closed."


def test_one_lost_decision_keeps_the_loop_open() -> None:
    facts = summary(rows_of_a_closed_loop(), loop(), lost=1).facts
    assert not facts.closed
    assert [check.sentence for check in facts.checks if not check.passed] == ["1 decision lost"]


def test_without_a_change_any_retraining_is_one_too_many() -> None:
    rows = [row for number, rank in enumerate([1, 1, 4] * 3) for row in ranked(number, [rank])]
    still = summary(rows, emitted(), change_day=None)
    restless = summary(rows, loop(), change_day=None)
    assert still.facts.closed
    assert not restless.facts.closed


def test_without_any_drift_the_phase_after_the_change_lasts_to_the_end() -> None:
    facts = summary(rows_of_a_closed_loop(), emitted()).facts
    assert [(phase.name, phase.last_day) for phase in facts.phases] == [("before", day(2)), ("after", day(8))]
    assert not facts.closed
    assert facts.change_to_detection is None


@pytest.mark.parametrize(
    ("before", "after", "swapped", "passed"),
    [
        (0.7, 0.5, 0.65, True),
        (0.9, 0.5, 0.85, False),  # too easy a world
        (0.4, 0.2, 0.4, False),  # too poor a champion
        (0.7, 0.6, 0.7, False),  # the change costs a seventh only
        (0.7, 0.3, 0.45, False),  # 0.15 of 0.4 regained
        (0.7, 0.3, None, False),
        (None, 0.3, 0.7, False),
    ],
)
def test_the_conditions_of_a_closed_loop(
    before: float | None, after: float | None, swapped: float | None, passed: bool
) -> None:
    seen = checks(
        {"before": before, "after": after, "swapped": swapped},
        changed=True,
        alarms_before=[],
        detected=day(4),
        retrained=1,
        promoted=day(5),
        undesired={},
    )
    assert all(check.passed for check in seen) is passed


def test_decisions_without_a_model_keep_the_loop_open() -> None:
    snapshot = DemoSnapshot(plan=plan(), degraded=1, fraud=Money(currency="EUR"))
    timings = measure(MeasuredLoad(np.empty(0), 0.0), snapshot, counts())
    rows = rows_of_a_closed_loop()
    frauds = {row.transaction_id for row in rows if row.is_fraud}
    facts = summarise(snapshot, SmallArchive(rows), loop(), timings, frauds).facts
    assert [check.sentence for check in facts.checks if not check.passed] == [
        "1 decision by the rules alone, without a model"
    ]
    assert not facts.closed


def test_an_alarm_before_the_change_keeps_the_loop_open() -> None:
    early = DriftDetected(day=day(1), champion_version="1", reasons=["nerves"])
    facts = summary(rows_of_a_closed_loop(), [early, *loop()]).facts
    assert not facts.closed
    assert facts.detection is not None
    assert facts.detection.day == day(4)


def test_percentiles_and_rate_come_from_the_measured_phase() -> None:
    timings = summary(rows_of_a_closed_loop(), loop(), latencies_ms=range(1, 1002)).timings
    seen = [timings.p50_ms, timings.p95_ms, timings.p99_ms, timings.p999_ms]
    assert seen == pytest.approx([501.0, 951.0, 991.0, 1000.0])
    assert timings.decisions_per_second == 1001 / 2.0
    assert sum(timings.histogram) == 1001


def transaction(offset: int, transaction_id: str, partition: int = 0) -> Record:
    value = json.dumps({"transaction_id": transaction_id}).encode()
    return Record("transactions", partition, offset, 0, b"card", value)


def test_a_transaction_without_a_decision_is_lost_unless_refused_or_a_repeat() -> None:
    ledger = DecisionLedger()
    ledger.decided(0, 10, "a")
    ledger.decided(0, 14, "d")
    ledger.refused(0, 12)
    seen = ledger.compare(
        [
            transaction(10, "a"),
            transaction(11, "a"),  # a repeat: decided at 10
            Record("transactions", 0, 12, 0, None, b"not JSON"),  # a dead letter
            transaction(13, "d"),  # no repeat: its decision belongs to a later record
            transaction(14, "d"),
            transaction(3, "a", partition=1),  # not the same partition: the stream cannot know it
            Record("transactions", 1, 4, 0, None, b"not JSON"),
        ]
    )
    assert (seen.transactions, seen.decisions, seen.dead_letters) == (7, 2, 1)
    assert (seen.repeats, seen.lost, seen.duplicates, seen.strays) == (1, 3, 0, 0)


def test_a_second_decision_for_a_record_or_a_transaction_is_a_duplicate() -> None:
    ledger = DecisionLedger()
    ledger.decided(0, 10, "a")
    ledger.decided(0, 10, "a")
    ledger.decided(0, 11, "a")
    ledger.decided(0, 99, "z")
    seen = ledger.compare([transaction(10, "a"), transaction(11, "a")])
    assert (seen.duplicates, seen.lost, seen.strays) == (2, 0, 1)


def test_the_report_needs_nothing_from_outside_and_escapes_what_it_is_told(tmp_path: Path) -> None:
    result = summary(rows_of_a_closed_loop(), loop(), latencies_ms=[5.0, 9.0, 40.0])
    told = EventFrame(
        number=0, at_ms=0.0, kind=EventKind.DRIFT, day=day(4), text="drift", details=["<script>alert(1)</script>"]
    )
    page = write_report(result, tmp_path / "demo", events=[told], drift_report=tmp_path / "drift" / "day.html")
    html = page.read_text(encoding="utf-8")
    assert "://" not in html
    assert "<script" not in html
    assert html.count("<svg") == 4
    assert 'href="../drift/day.html"' in html
    assert "The loop closed." in html


def test_the_facts_of_two_equal_runs_are_equal_files(tmp_path: Path) -> None:
    runs = [summary(rows_of_a_closed_loop(), loop(), latencies_ms=[1.0 + number]) for number in range(2)]
    for number, run in enumerate(runs):
        run.save(tmp_path / f"{number}.json")
    first, second = (json.loads((tmp_path / f"{number}.json").read_text()) for number in range(2))
    assert first["facts"] == second["facts"]
    assert first["timings"] != second["timings"]
