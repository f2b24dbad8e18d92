"""The monitor on real archive files and real Evidently: a small world that changes on a known day.

Each day has 400 decisions, 20 of them fraud, of which 19 are known a day later and one only after weeks. Version 1
separates fraud from genuine until day 5; from then on six features have moved and its margins carry no information.
Version 2 separates them again.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec import structs
from numpy.typing import NDArray

from adapters.archive.layout import SCHEMAS
from adapters.archive.reader import Archive
from adapters.archive.writer import ArchiveWriter, decision_row, label_row, transaction_row
from adapters.prefect import RunState
from cardwatch.data_contract.quarantine import QuarantineState
from cardwatch.decision.control_share import ControlShare
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.drift.missed_frauds import MissedFrauds
from cardwatch.drift.performance import MeasuredPerformance
from cardwatch.drift.policy import DriftPolicy
from cardwatch.errors import CorruptModel
from cardwatch.events import Action, Channel, Decision, Label, LabelSource, Transaction
from cardwatch.features.definitions import FEATURE_NAMES, FEATURES, SCHEMA_HASH, column
from cardwatch.progress import (
    STABLE,
    DayArchived,
    DayEmitted,
    DayMonitored,
    DriftDetected,
    NullShareChange,
    Progress,
    RetrainingEnded,
    RetrainingStarted,
)
from cardwatch.registry import CHALLENGER, CHAMPION, ModelVersion
from cardwatch.topics import DECISIONS, LABELS, TRANSACTIONS
from monitoring.watched import CHANGES_BY_ITSELF, WATCHED
from services.monitor.champions import load_reference
from services.monitor.monitor import Monitor
from services.monitor.observation import Observer
from services.monitor.outcomes import AlertOutcome, OutcomeTotal
from services.monitor.performance import count_missed_frauds, measure_performance
from tests.monitors import monitor_of

FIRST = date(2025, 3, 3)
CHANGE = 5
ROWS, FRAUDS = 400, 20
MOVED = (
    "amount",
    "amount_24h",
    "amount_7d",
    "count_24h",
    "count_7d",
    "hour_of_day",
    "is_ecommerce",
    "seconds_since_last",
)
POLICY = DriftPolicy(
    maturity_days=2, performance_days=3, drift_days=3, minimum_frauds=5, judge_days=1, new_training_days=1
)
Rows = NDArray[np.float32]


def features(seed: int, rows: int, *, moved: bool) -> Rows:
    drawn = np.random.default_rng(seed).normal(10.0, 2.0, (rows, len(FEATURES))).astype(np.float32)
    for name in MOVED:
        drawn[:, column(name)] += 3.0 * moved
    drawn[:, column("merchant_category")] = np.arange(rows) % 5
    return drawn


class World:
    """The archive, the registry and the flow runner of a world in which days pass.

    It changes on day `change`. `missing` has the features that are missing on single days.
    """

    def __init__(self, folder: Path, *, change: int = CHANGE, missing: Mapping[int, Sequence[str]] | None = None):
        self.folder, self.change, self.missing = folder, change, missing or {}
        self.writer = ArchiveWriter(folder / "archive")
        self.aliases = {CHAMPION: "1"}
        self.topic: list[Progress] = []
        self.days = 0
        self.control_propensity: float | None = None
        self._save_reference("1", moved=False)
        self._save_reference("2", moved=True)

    def pass_day(self, monitor: Monitor) -> None:
        """One day is decided by the champion, archived and monitored."""
        self._archive(self.days, self.aliases[CHAMPION])
        day = FIRST + timedelta(days=self.days)
        self.days += 1
        for record in (
            DayEmitted(day=day, transaction_ends={}, label_ends={}, decided=True),
            DayArchived(day=day, transactions=ROWS, decisions=ROWS, labels=FRAUDS, table_id="t"),
        ):
            self.topic.append(record)
            monitor.add(record)
        monitor.work()

    def monitor(self) -> Monitor:
        """A monitor that has read the topic."""
        monitor = monitor_of(
            observer=Observer(Archive(self.folder / "archive"), self, POLICY),
            registry=self,
            deployments=self,
            served=Served(self),
            publish=self.topic.append,
            policy=POLICY,
            reports=self.folder / "reports",
        )
        for record in list(self.topic):
            monitor.add(record)
        return monitor

    def published(self, kind: type[Progress]) -> list[Progress]:
        return [record for record in self.topic if isinstance(record, kind)]

    # the registry

    def champion(self) -> ModelVersion:
        return self._registered(self.aliases[CHAMPION])

    def alias(self, name: str) -> ModelVersion | None:
        return self._registered(self.aliases[name]) if name in self.aliases else None

    def version(self, version: str) -> ModelVersion | None:
        return self._registered(version)

    def files(self, version: ModelVersion) -> dict[str, bytes]:
        return {"reference.parquet": self._reference_file(version.version).read_bytes()}

    def _registered(self, version: str) -> ModelVersion:
        measurable = '{"average_precision": 0.95, "frauds": 100}'
        tags = {"measurable": measurable, "verdict_reasons": '["passed: all"]'}
        return ModelVersion(version=version, run_id="", tags=tags)

    def _reference_file(self, version: str) -> Path:
        return self.folder / f"reference-{version}.parquet"

    def _save_reference(self, version: str, *, moved: bool) -> None:
        rows = features(1_000, 2_000, moved=moved)
        columns = {name: rows[:, position] for position, name in enumerate(FEATURE_NAMES)}
        week = (FIRST - date(1970, 1, 1)).days - 1 - np.arange(2_000) % 7
        table = pa.table({**columns, "margin": margins(1_000, 2_000, 100, blind=False), "day": week})
        pq.write_table(table, self._reference_file(version))

    # the flow runner

    def run(self, name: str, parameters: Mapping[str, object], *, key: str) -> str:
        self.aliases = {CHAMPION: "2", CHALLENGER: "2"}
        return f"{name} of {parameters['as_of_day']}"

    def state(self, run_id: str) -> RunState:
        return RunState(kind="COMPLETED", name="Completed", message="")

    # the archive

    def _archive(self, day: int, version: str) -> None:
        moved = day >= self.change
        noon = datetime.combine(FIRST + timedelta(days=day), time(12), UTC)
        rows = features(day, ROWS, moved=moved)
        rows[:, [column(name) for name in self.missing.get(day, ())]] = np.nan
        scores = margins(day, ROWS, FRAUDS, blind=moved and version == "1")
        decisions = [
            decision(f"t-{day}-{n}", noon, rows[n], version, float(scores[n]), offset=day * ROWS + n)
            for n in range(ROWS)
        ]
        decisions = [structs.replace(each, control_propensity=self.control_propensity) for each in decisions]
        late = [timedelta(days=30 if n == 0 else 1) for n in range(FRAUDS)]
        labels = [label(f"t-{day}-{n}", noon, noon + late[n], offset=day * FRAUDS + n) for n in range(FRAUDS)]
        self.writer.write(
            {
                TRANSACTIONS: [transaction_row(each.transaction, 0, each.offset) for each in decisions],
                DECISIONS: [decision_row(each) for each in decisions],
                LABELS: [label_row(each, 0, number) for number, each in labels],
            },
            {},
        )


class Served:
    """A scoring service that has followed the alias."""

    def __init__(self, world: World) -> None:
        self._world = world

    def version(self) -> str | None:
        return self._world.aliases[CHAMPION]


def margins(seed: int, rows: int, frauds: int, *, blind: bool) -> Rows:
    """Margins: high for the rows 1 to `frauds` - 1, low for the others; low for all if the model is blind."""
    drawn = np.random.default_rng(500 + seed).normal(-3.0, 0.5, rows).astype(np.float32)
    if not blind:
        drawn[1:frauds] += 6.0
    return drawn


def decision(
    name: str, at: datetime, row: Rows, version: str | None, margin: float | None, *, offset: int = 0
) -> Decision:
    return Decision(
        transaction=Transaction(
            transaction_id=name,
            card_id="card",
            merchant_id="shop",
            occurred_at=at,
            amount_minor=1_000,
            currency="EUR",
            merchant_category="5411",
            channel=Channel.CHIP,
            country="DE",
        ),
        partition=0,
        offset=offset,
        sequence=0,
        features=row.tolist(),
        feature_schema=SCHEMA_HASH,
        table_id="t",
        model_version=version,
        policy_version="p",
        margin=margin,
        action=Action.APPROVE,
        reasons=[],
        degraded=margin is None,
        decided_at=at,
        latency_ms=1.0,
    )


def label(
    name: str, at: datetime, observed_at: datetime, *, offset: int = 0, is_fraud: bool = True
) -> tuple[int, Label]:
    return offset, Label(
        transaction_id=name,
        card_id="card",
        merchant_id="shop",
        is_fraud=is_fraud,
        effective_at=at,
        observed_at=observed_at,
        source=LabelSource.CHARGEBACK,
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Twelve days; the monitor is restarted before each of the last eight."""
    world = World(tmp_path_factory.mktemp("world"))
    monitor = world.monitor()
    for _ in range(4):
        world.pass_day(monitor)
    for _ in range(8):
        world.pass_day(world.monitor())
    world.writer.close()
    return world


def monitored(world: World) -> list[DayMonitored]:
    return [record for record in world.topic if isinstance(record, DayMonitored)]


def test_every_day_is_monitored_once_and_in_order(world: World) -> None:
    assert [record.day for record in monitored(world)] == [FIRST + timedelta(days=day) for day in range(12)]


@pytest.mark.rubric("monitor-7")
def test_performance_is_that_of_matured_days_and_of_labels_known_by_then(world: World) -> None:
    days = monitored(world)
    assert [day.average_precision for day in days[:3]] == [None, None, 1.0]
    # on day 4 the days 0, 1 and 2 are mature, with 19 known frauds each; the twentieth is not known and scores low
    assert (days[4].average_precision, days[4].matured_frauds) == (1.0, 57)
    # everything is approved; the first sufficient measurement, of day 2, is the baseline: 19 of 400
    assert (days[4].missed_frauds, days[4].matured_decisions) == (57, 1_200)
    assert days[4].baseline_missed_per_10000 == 475.0
    assert {day.baseline_average_precision for day in days} == {0.95}


def test_data_drift_shows_immediately_and_the_loss_when_labels_mature(world: World) -> None:
    days = monitored(world)
    assert max(day.drift_share for day in days[:CHANGE]) < POLICY.drift_share
    assert set(MOVED) <= set(days[CHANGE].drifted_features)
    # on day 7 the days 3, 4 and 5 are mature: the frauds of the third are lost among 380 genuine rows
    losses = [day.average_precision for day in days[CHANGE : CHANGE + 4]]
    assert losses[:2] == [1.0, 1.0]
    assert losses[2] == pytest.approx(2 / 3, abs=0.1)
    assert losses[3] == pytest.approx(1 / 3, abs=0.1)
    assert [day.state for day in days[:9]] == ["stable"] * 5 + ["drift suspected"] * 3 + ["decayed"]


def test_the_retraining_starts_when_a_day_of_the_changed_world_can_be_trained_on(world: World) -> None:
    detected, ended = world.published(DriftDetected), world.published(RetrainingEnded)
    # on day 8 the days up to 6 are mature; 6 is judged on, 5 is the first that has drifted
    assert [record.day for record in (*detected, *ended)] == [FIRST + timedelta(days=8)] * 2
    (verdict,) = ended
    assert isinstance(verdict, RetrainingEnded)
    assert (verdict.challenger_version, verdict.promoted, verdict.reasons) == ("2", True, ["passed: all"])
    assert (world.folder / "reports" / f"drift-{FIRST + timedelta(days=8)}.html").stat().st_size > 1_000_000


def test_the_new_champion_is_measured_by_its_own_decisions_and_reference(world: World) -> None:
    after = monitored(world)[9:]
    assert {day.champion_version for day in after} == {"2"}
    assert [day.average_precision for day in after] == [None, None, 1.0]
    assert [day.state for day in after] == ["stable"] * 3
    assert max(day.drift_share for day in after) < POLICY.drift_share


def test_the_outcomes_of_a_day_follow_from_the_labels_at_its_maturity(world: World) -> None:
    observer = Observer(Archive(world.folder / "archive"), world, POLICY)
    # with day 3, day 1 matures: everything was approved, 19 frauds are known and the twentieth is not
    assert observer.matured_outcomes(FIRST + timedelta(days=3), frozenset()) == {
        (AlertOutcome.MISSED, "EUR"): OutcomeTotal(19, 19_000),
        (AlertOutcome.PASSED, "EUR"): OutcomeTotal(381, 381_000),
    }
    assert observer.matured_outcomes(FIRST, frozenset()) == {}
    assert observer.matured_outcomes(FIRST + timedelta(days=3), frozenset({FIRST + timedelta(days=1)})) == {}


def test_decisions_of_other_versions_and_degraded_ones_do_not_count() -> None:
    noon, row = datetime(2025, 3, 3, 12, tzinfo=UTC), features(1, 1, moved=False)[0]
    decision_list = [
        decision("mine-high", noon, row, "1", 2.0),
        decision("mine-low", noon, row, "1", 1.0),
        decision("theirs", noon, row, "2", 9.0),
        decision("of-the-rules", noon, row, None, None),
    ]
    decisions = pa.Table.from_pylist([decision_row(each) for each in decision_list], schema=SCHEMAS[DECISIONS])
    label_list = [label(name, noon, noon) for name in ("mine-low", "theirs", "of-the-rules")]
    labels = pa.Table.from_pylist([label_row(each, 0, 0) for _, each in label_list], schema=SCHEMAS[LABELS])
    # the one fraud of version 1 is second of two: precision 1/2 at full recall
    assert measure_performance(decisions, labels, "1") == MeasuredPerformance(average_precision=0.5, frauds=1)
    assert measure_performance(decisions, labels, "2") == MeasuredPerformance(average_precision=1.0, frauds=1)
    assert measure_performance(decisions, labels, "3") is None
    assert count_missed_frauds(decisions, labels, "1") == MissedFrauds(frauds=1, decisions=2)
    assert count_missed_frauds(decisions, labels, "2") == MissedFrauds(frauds=1, decisions=1)
    assert count_missed_frauds(decisions, labels, "3") is None


def test_the_newest_label_of_a_transaction_counts() -> None:
    noon, row = datetime(2025, 3, 3, 12, tzinfo=UTC), features(1, 1, moved=False)[0]
    decisions = pa.Table.from_pylist([decision_row(decision("t", noon, row, "1", 2.0))], schema=SCHEMAS[DECISIONS])
    fraud, cleared = (
        label_row(label("t", noon, noon + timedelta(hours=hours), is_fraud=is_fraud)[1], 0, 0)
        for hours, is_fraud in ((1, True), (2, False))
    )
    both = pa.Table.from_pylist([cleared, fraud], schema=SCHEMAS[LABELS])
    assert measure_performance(decisions, both, "1") is None
    assert measure_performance(decisions, pa.Table.from_pylist([fraud], schema=SCHEMAS[LABELS]), "1") is not None


def test_a_champion_whose_reference_cannot_be_read_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    pq.write_table(pa.table({"amount": [1.0]}), world.folder / "reference-1.parquet")
    with pytest.raises(CorruptModel, match=r"version 1 has no usable reference\.parquet"):
        load_reference(world, world.champion())
    world.writer.close()


def test_a_field_that_is_missing_for_a_day_is_reported_on_this_day_and_retrains_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    of_devices = ("device_is_new", "device_age", "device_cards")
    world = World(tmp_path, change=10, missing={4: of_devices})
    monitor = world.monitor()
    with caplog.at_level("INFO"):
        for _ in range(6):
            world.pass_day(monitor)
    world.writer.close()
    days = monitored(world)
    assert [set(day.null_share_changes) for day in days] == [set(), set(), set(), set(), set(of_devices), set()]
    assert days[4].null_share_changes["device_age"] == NullShareChange(reference=0.0, current=1.0)
    assert "the share of missing values has changed: device_is_new 0% to 100%" in caplog.text
    assert {day.state for day in days} == {STABLE}
    assert not world.published(RetrainingStarted)


def test_columns_that_cannot_be_compared_are_reported_until_there_are_enough_decisions(world: World) -> None:
    first, second = monitored(world)[:2]
    assert first.not_compared == dict.fromkeys(WATCHED, "there are fewer than 500 decisions: 400")
    assert set(second.not_compared) == set(CHANGES_BY_ITSELF)  # the reference has one week


def test_a_declined_transaction_without_a_label_is_not_taken_for_genuine() -> None:
    noon, row = datetime(2025, 3, 3, 12, tzinfo=UTC), features(1, 1, moved=False)[0]

    def decided(name: str, margin: float, action: Action, propensity: float | None = None) -> dict[str, object]:
        made = decision(name, noon, row, "1", margin)
        return decision_row(structs.replace(made, action=action, control_propensity=propensity))

    decline, approve = Action.DECLINE, Action.APPROVE
    rows = [decided("silent", 9.0, decline), decided("reported", 8.0, approve), decided("genuine", 7.0, approve)]
    label_list = [label("reported", noon, noon), label("control-fraud", noon, noon)]
    labels = pa.Table.from_pylist([label_row(each, 0, 0) for _, each in label_list], schema=SCHEMAS[LABELS])

    def measured(*more: dict[str, object], largest: float | None = None) -> MeasuredPerformance | None:
        decisions = pa.Table.from_pylist([*rows, *more], schema=SCHEMAS[DECISIONS])
        return measure_performance(decisions, labels, "1", largest_control_minor=largest)

    assert measured() == MeasuredPerformance(average_precision=1.0, frauds=1)
    # A declined fraud that its customer reports changes nothing: the number must not depend on who answers.
    assert measured(decided("control-fraud", 1.0, decline)) == MeasuredPerformance(average_precision=1.0, frauds=1)
    # A control row at the lowest margin stands for two frauds: precision 1 at recall 1/3, then 3/4 at full recall.
    found = measured(decided("control-fraud", 1.0, approve, 0.5), largest=100_000)
    assert found == MeasuredPerformance(average_precision=pytest.approx(1 / 3 + 2 / 3 * 3 / 4), frauds=2)


def test_the_largest_amount_of_a_control_share_is_in_the_currency_of_the_policy(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.control_propensity = 0.5
    monitor = world.monitor()
    for _ in range(4):
        world.pass_day(monitor)
    world.writer.close()
    newest = FIRST + timedelta(days=3)

    def measured(cap_minor: float) -> MeasuredPerformance | None:
        control = ControlShare(share=0.5, cap_minor=cap_minor)
        policy = DecisionPolicy(currency="USD", rates={"EUR": 0.5}, control=control)
        observer = Observer(Archive(world.folder / "archive"), world, POLICY, policy)
        return observer.observe(newest, world.champion(), QuarantineState()).performance

    # The control rows are over EUR 10, which are USD 5.
    assert measured(500.0) is not None
    assert measured(499.0) is None


def test_missed_frauds_are_those_that_the_model_itself_approved() -> None:
    noon, row = datetime(2025, 3, 3, 12, tzinfo=UTC), features(1, 1, moved=False)[0]
    actions = {"missed": Action.APPROVE, "challenged": Action.CHALLENGE, "declined": Action.DECLINE}
    made = [structs.replace(decision(name, noon, row, "1", 1.0), action=action) for name, action in actions.items()]
    control = structs.replace(decision("control", noon, row, "1", 9.0), control_propensity=0.5)
    decisions = pa.Table.from_pylist([decision_row(each) for each in (*made, control)], schema=SCHEMAS[DECISIONS])
    label_list = [label(name, noon, noon) for name in (*actions, "control")]
    labels = pa.Table.from_pylist([label_row(each, 0, 0) for _, each in label_list], schema=SCHEMAS[LABELS])
    assert count_missed_frauds(decisions, labels, "1") == MissedFrauds(frauds=1, decisions=4)
    assert count_missed_frauds(decisions, labels.slice(0, 0), "1") == MissedFrauds(frauds=0, decisions=4)
