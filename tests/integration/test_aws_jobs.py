"""The batch jobs on AWS as moto serves it: a small world is decided, archived day by day, trained on and watched.

What the jobs make is compared with what the same records give on a laptop, through the archive service and the stages
of the Prefect flows.
"""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import tarfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import msgspec
import numpy as np
import pyarrow as pa
import pytest
from msgspec import structs
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from adapters.archive.reader import Archive
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.archive.writer import ArchiveWriter
from adapters.aws.eventbridge import EventBus
from adapters.aws.s3 import Bucket, s3_place
from adapters.aws.s3_archive import S3Archive
from adapters.aws.s3_progress import ProgressPart, S3ProgressLog
from adapters.aws.sagemaker_endpoint import Endpoint
from adapters.aws.sagemaker_registry import Package, Registration, SageMakerRegistry
from adapters.model_registry.model_folder import pack_model, read_model, unpack_model
from adapters.runtime import jobs
from adapters.runtime.policy_file import Policies
from adapters.runtime.settings import Settings
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.detector.detector import Detector, digest_of
from cardwatch.drift.policy import DriftPolicy, EvidenceThreshold
from cardwatch.errors import (
    ArchiveUnavailable,
    CorruptModel,
    Misconfigured,
    NoChampion,
    ObjectMissing,
    ScoringUnavailable,
    Superseded,
    Unavailable,
)
from cardwatch.events import Decision, Label, Transaction, decode, encode
from cardwatch.features.columns import card_index
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.features.state import STATE
from cardwatch.ports import Scores
from cardwatch.progress import (
    Bootstrapped,
    DayArchived,
    DayEmitted,
    DayMonitored,
    DriftDetected,
    RetrainingEnded,
    RetrainingStarted,
)
from cardwatch.promotion.gate import PromotionPolicy
from cardwatch.records import Record
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cardwatch.topics import DECISIONS, LABELS, PROGRESS, TRANSACTIONS
from models.training import TrainingSettings
from pipelines import fitting, stages
from pipelines.fitting import recent_rows
from pipelines.sagemaker import handler
from pipelines.sagemaker.__main__ import main as pipelines_main
from pipelines.sagemaker.execution import Execution
from pipelines.sagemaker.jobs import RetrainingJob, assemble, bootstrap, fit, judge
from services.archive.archiver import Archiver
from services.archive.aws.daily_job import archive_day
from services.archive.aws.daily_job import main as archive_main
from services.archive.aws.repartition import partition_of
from services.archive.metrics import ArchiveMetrics
from services.archive.recovery import resumed
from services.archive.reference_feed import rebuilt
from services.monitor.aws.daily_job import Watcher, watch_day
from services.monitor.aws.daily_job import main as watch_main
from services.stream.batch import Batch, fold_transactions
from services.stream.decider import Decider

REGION = "eu-central-1"
GROUP = "cardwatch-test"
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/cardwatch-test-scoring:1"
WORLD = SimulationSettings(seed=5, cards=50, fraud_share=0.04)
HISTORY_DAYS, WATCHED_DAYS, RESHARDED_ON = 18, 3, 2
LAST_OF_HISTORY = WORLD.first_day + timedelta(days=HISTORY_DAYS - 1)
LAST_DAY = LAST_OF_HISTORY + timedelta(days=WATCHED_DAYS)
BATCH = 150

NUMBERS = count()
"""For names of buckets that no other test has."""

ANYTHING_IS_A_LOSS = EvidenceThreshold(loss=-1e9, standard_errors=-1e9, days=1)
POLICIES = Policies(
    drift=DriftPolicy(
        maturity_days=1,
        performance_days=3,
        drift_days=2,
        minimum_frauds=1,
        with_drift=ANYTHING_IS_A_LOSS,
        without_drift=ANYTHING_IS_A_LOSS,
        judge_days=2,
        learnable_days=0,
        days_after_promotion=5,
        days_after_refusal=1,
        drift_share=2.0,  # never
    ),
    promotion=PromotionPolicy(
        minimum_rows=1,
        minimum_frauds=1,
        minimum_average_precision=0.0,
        minimum_average_precision_ratio=0.0,
        minimum_recall_ratio=0.0,
        maximum_cost_ratio=1e9,
        calibration_factor=1e9,
    ),
)
NOBODY_IS_BETTER = structs.replace(
    POLICIES, promotion=structs.replace(POLICIES.promotion, minimum_average_precision_ratio=100.0)
)


class Killed(BaseException):
    """The job is gone at this point."""


class Served:
    """What the endpoint is: no champion at first, then the one that was put behind it."""

    def __init__(self) -> None:
        self.version, self.detector = "", None

    def score(
        self,
        rows: NDArray[np.float32],
        reasons_above: NDArray[np.float64],
        *,
        schema_hash: str,
        transaction_ids: Sequence[str] = (),
    ) -> Scores:
        if self.detector is None:
            raise ScoringUnavailable("there is no endpoint yet")
        margins = self.detector.margins(rows)
        return Scores(
            model_version=self.version,
            model_digest="digest",
            margins=margins,
            probabilities=self.detector.probabilities(margins),
            reasons=[[] for _ in rows],
        )


class Day(NamedTuple):
    """What happened on a day: all in the order in which it happened."""

    day: date
    transactions: list[Transaction]
    labels: list[Label]
    decisions: list[Decision]


class Bank:
    """The world, the stream that decides, and the bucket; one day after another."""

    def __init__(self, bucket: Bucket, folder: Path) -> None:
        self.bucket, self.folder = bucket, folder
        self.served = Served()
        self.days: list[Day] = []
        self._world = Simulation(WORLD)
        self._decider = Decider(self.served, DecisionPolicy(), lambda: 1_800_000_000_000.0)
        self._states: dict[str, np.void] = {}
        self._ends: dict[int, int] = defaultdict(int)
        self._folders = count()

    def live(self) -> Day:
        """A day passes: transactions are decided, decisions and labels are delivered."""
        number = len(self.days)
        events = self._world.day(number)
        self.bucket.fetch_folder("tables/", self.folder / "tables")
        by_shard: defaultdict[int, list[Transaction]] = defaultdict(list)
        for transaction in events.transactions:
            by_shard[self._shard_of(transaction.card_id, number)].append(transaction)
        decisions: list[Decision] = []
        for shard, transactions in by_shard.items():
            for start in range(0, len(transactions), BATCH):
                decisions += self._decide(shard, transactions[start : start + BATCH])
        order = {transaction.transaction_id: place for place, transaction in enumerate(events.transactions)}
        decisions.sort(key=lambda each: order[each.transaction.transaction_id])
        lines = [encode(label) for label in events.labels]
        self.bucket.put(f"labels/{events.day}.jsonl", b"\n".join(lines))
        self.days.append(Day(events.day, events.transactions, events.labels, decisions))
        return self.days[-1]

    def archive(self, day: date, bucket: Bucket | None = None) -> None:
        archive_day(bucket or self.bucket, day, self.new_folder())

    def new_folder(self) -> Path:
        folder = self.folder / f"job-{next(self._folders)}"
        folder.mkdir()
        return folder

    def serve(self, package: Package) -> None:
        _, files = unpack_model(self.bucket.get(s3_place(package.model_url)[1]))
        self.served.version, self.served.detector = package.version.version, Detector.from_files(files)

    def run(self, execution: str, policies: Policies = POLICIES) -> RetrainingJob:
        return RetrainingJob(Execution(self.bucket, execution), SageMakerRegistry(GROUP), policies, self.new_folder())

    def _shard_of(self, card_id: str, day: int) -> int:
        """One shard, and from a day on two that have taken over from it."""
        return 0 if day < RESHARDED_ON else 1 + partition_of(card_id) % 2

    def _decide(self, shard: int, transactions: list[Transaction]) -> list[Decision]:
        cards, index = card_index([transaction.card_id for transaction in transactions])
        states = np.array([self._states.get(card, np.zeros((), STATE)) for card in cards], STATE)
        tables = ReferenceTableStore(self.folder / "tables")
        first = self._ends[shard]
        records = [Record(TRANSACTIONS, shard, first + i, 0, None, None) for i in range(len(transactions))]
        folded, used = fold_transactions(tables, states, index, transactions)
        batch = Batch(shard, first, first + len(records), records, transactions, folded, used, cards, states, [])
        [decisions] = self._decider.decide([batch]).decisions
        self._states |= dict(zip(cards, states.copy(), strict=True))
        self._ends[shard] = batch.position
        lines = [encode(decision) for decision in decisions]
        self.bucket.put(f"decisions/shard={shard}/{first:020d}.jsonl", b"\n".join(lines) + b"\n")
        return [decode(line, Decision) for line in lines]


def new_bucket(name: str) -> Bucket:
    client = boto3.client("s3")
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    client.close()
    return Bucket(name)


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def aws(dynamodb_endpoint: str, patch: pytest.MonkeyPatch) -> str:
    patch.setenv("AWS_ENDPOINT_URL", dynamodb_endpoint)
    patch.setenv("AWS_DEFAULT_REGION", REGION)
    patch.setattr(fitting, "RECIPE", TrainingSettings(trees=15, threads=1))
    patch.setattr(fitting.fit_candidate, "__defaults__", (TrainingSettings(trees=15, threads=1),))
    sagemaker = boto3.client("sagemaker")
    sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
    sagemaker.close()
    return dynamodb_endpoint


@pytest.fixture(scope="module")
def history(aws: str, tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """Days that the rules decided and the job archived, one by one."""
    bank = Bank(new_bucket("history"), tmp_path_factory.mktemp("history"))
    for _ in range(HISTORY_DAYS):
        bank.archive(bank.live().day)
    return bank


class Stand(NamedTuple):
    """A champion that decides, and its history."""

    bank: Bank
    first: Package


@pytest.fixture(scope="module")
def stand(history: Bank) -> Stand:
    """The first champion, behind the endpoint for a few days."""
    first = bootstrap(history.run("first"), None, image=IMAGE, holdout_days=3)
    history.serve(first)
    for _ in range(WATCHED_DAYS):
        history.archive(history.live().day)
    return Stand(history, first)


# --- The archive ------------------------------------------------------------------------------------------------


class LocalArchive:
    """What the archive service makes of the same records, read from one partition a card."""

    def __init__(self, folder: Path) -> None:
        self.tables = ReferenceTableStore(folder / "tables")
        self.archive = Archive(folder)
        self._writer = ArchiveWriter(folder)
        self._archivist = Archiver(
            self._writer,
            self.tables,
            rebuilt(self.archive),
            resumed(self.archive, range(16)),
            decided_up_to=lambda _partitions: dict(self._ends[TRANSACTIONS]),
            announce=lambda _event: None,
            metrics=ArchiveMetrics(CollectorRegistry()),
        )
        self._ends: dict[str, defaultdict[int, int]] = {TRANSACTIONS: defaultdict(int), LABELS: defaultdict(int)}
        self._progress = count()

    def take(self, day: Day) -> None:
        records: list[Record] = []
        for decision in day.decisions:
            place = self._next(TRANSACTIONS, decision.transaction.card_id)
            records.append(self._record(TRANSACTIONS, place, decision.transaction))
            placed = structs.replace(decision, partition=place[0], offset=place[1])
            records.append(self._record(DECISIONS, place, placed, decision.transaction.card_id))
        records += [self._record(LABELS, self._next(LABELS, label.card_id), label) for label in day.labels]
        ends = {topic: {str(p): end for p, end in of_topic.items()} for topic, of_topic in self._ends.items()}
        emitted = DayEmitted(day=day.day, transaction_ends=ends[TRANSACTIONS], label_ends=ends[LABELS], decided=True)
        records.append(Record(PROGRESS, 0, next(self._progress), 0, None, msgspec.json.encode(emitted)))
        self._archivist.take(records)
        self._archivist.close_days(self)

    def close(self) -> None:
        self._writer.close()

    def reached(self, topic: str, partition: int) -> int:
        return self.end(topic, partition)

    def end(self, topic: str, partition: int) -> int:
        return self._ends.get(topic, {}).get(partition, 0)

    def _next(self, topic: str, card_id: str) -> tuple[int, int]:
        partition = partition_of(card_id)
        self._ends[topic][partition] += 1
        return partition, self._ends[topic][partition] - 1

    def _record(self, topic: str, place: tuple[int, int], value: Any, card_id: str = "") -> Record:
        return Record(topic, *place, 0, (card_id or value.card_id).encode(), encode(value))


@pytest.fixture(scope="module")
def local(history: Bank, tmp_path_factory: pytest.TempPathFactory) -> LocalArchive:
    with closing(LocalArchive(tmp_path_factory.mktemp("local"))) as local:
        for day in history.days[:HISTORY_DAYS]:
            local.take(day)
    return local


def fetched(bank: Bank) -> Archive:
    """The archive as it lies in the bucket."""
    stored = S3Archive(bank.bucket, bank.new_folder())
    archive = stored.fetch_index()
    stored.fetch_files(dict.fromkeys((TRANSACTIONS, DECISIONS, LABELS), date.min))
    return archive


def without_places(rows: pa.Table) -> pa.Table:
    return rows.drop_columns(["log_offset"]).sort_by([("transaction_id", "ascending")])


@pytest.mark.proves("moto", "the archive job makes the tables of the local archive, to the bit")
def test_tables_are_those_that_the_archive_service_makes_of_the_same_records(
    history: Bank, local: LocalArchive
) -> None:
    local_ids = {table.valid_from_day: table.table_id for table in local.tables.all()}
    history.bucket.fetch_folder("tables/", history.folder / "tables")
    ids = {table.valid_from_day: table.table_id for table in ReferenceTableStore(history.folder / "tables").all()}
    assert len(local_ids) == HISTORY_DAYS
    assert {day: ids[day] for day in local_ids} == local_ids
    assert any(table.values[:, 2].max() > 1.0 for table in local.tables.all())  # some merchant is known for fraud


def test_rows_are_those_that_the_archive_service_writes(history: Bank, local: LocalArchive) -> None:
    archive = fetched(history)
    span = WORLD.first_day, LAST_OF_HISTORY
    assert without_places(archive.transactions(*span)).equals(without_places(local.archive.transactions(*span)))
    assert without_places(archive.decisions(*span)).equals(without_places(local.archive.decisions(*span)))
    expected = without_places(local.archive.all_labels())
    known = [label.transaction_id for day in history.days[:HISTORY_DAYS] for label in day.labels]
    assert sorted(known) == expected["transaction_id"].to_pylist()
    assert dict(list(archive.closed_days().items())[:HISTORY_DAYS]) == local.archive.closed_days()


@pytest.mark.proves("moto", "a replay of the archive gives every recorded feature, to the bit")
def test_replaying_the_archive_gives_every_recorded_feature_to_the_bit(history: Bank) -> None:
    archive = fetched(history)
    replayed = stages.replay(archive, ReferenceTableStore(history.folder / "tables"), logging.getLogger())
    decisions = archive.decisions(WORLD.first_day, LAST_DAY)
    recorded = np.array(decisions["features"].to_pylist(), np.float32)
    assert replayed.transactions["transaction_id"].to_pylist() == decisions["transaction_id"].to_pylist()
    np.testing.assert_array_equal(replayed.features, recorded)


def test_the_end_of_each_day_is_told(history: Bank) -> None:
    first = history.days[0]
    [told] = S3ProgressLog(history.bucket).of_day(first.day, ProgressPart.ARCHIVE)
    assert isinstance(told, DayArchived)
    assert (told.transactions, told.decisions) == (len(first.transactions), len(first.decisions))


def bytes_of(bucket: Bucket) -> dict[str, str]:
    """Every object and what it holds; what the index holds, it is asked."""
    return {found.key: found.etag for found in bucket.objects("") if not found.key.endswith("index.sqlite")}


@pytest.fixture
def short(aws: str, tmp_path: Path) -> Bank:
    """Two days that nobody has archived yet."""
    bank = Bank(new_bucket(f"short-{next(NUMBERS)}"), tmp_path)
    bank.live()
    bank.live()
    return bank


def test_a_day_that_is_archived_again_stays_as_it_is(short: Bank) -> None:
    day = short.days[0].day
    short.archive(day)
    before = bytes_of(short.bucket), short.bucket.get("archive/index.sqlite")
    short.archive(day)
    assert (bytes_of(short.bucket), short.bucket.get("archive/index.sqlite")) == before


def test_days_that_no_run_has_closed_are_closed_with_the_next(short: Bank) -> None:
    first = short.days[0].day
    short.archive(first - timedelta(days=2))
    short.archive(first + timedelta(days=1))
    assert list(fetched(short).closed_days()) == [first + timedelta(days=n) for n in (-2, -1, 0, 1)]


class Dying(Bucket):
    """A bucket whose user is killed at the n-th thing that it writes."""

    def __init__(self, name: str, dies_at: int) -> None:
        super().__init__(name)
        self._left = dies_at

    def put(self, key: str, content: bytes | Path, *, replaces: str | None = None) -> str:
        if self._left == 0:
            raise Killed
        self._left -= 1
        return super().put(key, content, replaces=replaces)


@pytest.mark.proves("moto", "the archive job may be killed at any write")
def test_killed_at_any_step_and_run_again_it_is_as_if_it_had_not_been(short: Bank) -> None:
    day, untouched = short.days[1].day, short.bucket
    whole = copied(untouched, f"{untouched.name}-whole")
    short.archive(day, whole)
    expected, rows = bytes_of(whole), contents_of(fetched_from(short, whole))
    for dies_at in range(100):
        bucket = copied(untouched, f"{untouched.name}-{dies_at}")
        try:
            short.archive(day, Dying(bucket.name, dies_at))
        except Killed:
            short.archive(day, bucket)
        else:
            break
        assert bytes_of(bucket) == expected
        assert contents_of(fetched_from(short, bucket)) == rows
    assert dies_at > 5  # a table, a record of progress, three files or more, the index


def copied(bucket: Bucket, name: str, wanted: Callable[[str], bool] = bool) -> Bucket:
    copy = new_bucket(name)
    for found in bucket.objects(""):
        if wanted(found.key):
            copy.put(found.key, bucket.get(found.key))
    return copy


def fetched_from(bank: Bank, bucket: Bucket) -> Archive:
    stored = S3Archive(bucket, bank.new_folder())
    archive = stored.fetch_index()
    stored.fetch_files(dict.fromkeys((TRANSACTIONS, DECISIONS, LABELS), date.min))
    return archive


def contents_of(archive: Archive) -> tuple[Any, ...]:
    rows = [archive.transactions(date.min, date.max), archive.decisions(date.min, date.max), archive.all_labels()]
    return *(table.to_pylist() for table in rows), archive.closed_days(), archive.positions(TRANSACTIONS)


def test_of_two_runs_at_the_same_time_one_is_refused(short: Bank) -> None:
    day = short.days[0].day

    class Overtaken(Bucket):
        def put(self, key: str, content: bytes | Path, *, replaces: str | None = None) -> str:
            if key.endswith("index.sqlite"):
                short.archive(day)
            return super().put(key, content, replaces=replaces)

    with pytest.raises(Superseded):
        short.archive(day, Overtaken(short.bucket.name))
    assert list(fetched(short).closed_days()) == [day]


def test_a_table_that_a_worker_may_have_used_is_not_replaced_by_what_came_after_a_crash(short: Bank) -> None:
    day = short.days[0].day
    with pytest.raises(Killed):
        short.archive(day, Dying(short.bucket.name, 1))
    [used] = short.bucket.objects("tables/")
    first = short.days[0].decisions[0]
    late = structs.replace(first, offset=99_999, transaction=structs.replace(first.transaction, transaction_id="late"))
    short.bucket.put(f"decisions/shard=0/{99_999:020d}.jsonl", encode(late) + b"\n")
    short.archive(day)
    assert [found.key for found in short.bucket.objects("tables/")] == [used.key]
    assert "late" in fetched(short).transactions(day, day)["transaction_id"].to_pylist()


def test_what_is_delivered_twice_is_archived_once_and_what_is_no_label_is_passed_over(
    short: Bank, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = short.days
    short.archive(first.day)
    again = b"\n".join(encode(decision) for decision in first.decisions[-3:])
    short.bucket.put(f"decisions/shard=0/again-{1:0>20}.jsonl", again)
    good = encode(second.labels[0] if second.labels else label_of(second.decisions[0]))
    short.bucket.put("labels/extra.jsonl", good + b"\n{}\n")
    short.archive(second.day)
    short.bucket.put("labels/extra.jsonl", good + b"\n{}\n" + encode(label_of(first.decisions[0])))  # it has grown
    short.archive(second.day + timedelta(days=1))
    archive = fetched(short)
    ids = archive.transactions(first.day, second.day)["transaction_id"].to_pylist()
    assert sorted(ids) == sorted(each.transaction_id for day in short.days for each in day.transactions)
    labels = archive.all_labels()["transaction_id"].to_pylist()
    assert len(labels) == len(first.labels) + len(second.labels) + 2
    assert "labels/extra.jsonl holds what is no label" in caplog.text


def label_of(decision: Decision) -> Label:
    transaction = decision.transaction
    return decode(
        msgspec.json.encode(
            {
                "transaction_id": transaction.transaction_id,
                "card_id": transaction.card_id,
                "merchant_id": transaction.merchant_id,
                "is_fraud": True,
                "effective_at": transaction.occurred_at,
                "observed_at": transaction.occurred_at,
                "source": "customer",
            }
        ),
        Label,
    )


# --- Retraining -------------------------------------------------------------------------------------------------


def test_the_first_champion_is_registered_with_its_files_and_served_by_its_number(stand: Stand) -> None:
    first, registry = stand.first, SageMakerRegistry(GROUP)
    champion = registry.champion()
    assert champion == first.version == registry.version("1")
    assert champion.tags["verdict"] == "promoted"
    assert champion.schema_hash == SCHEMA_HASH
    assert champion.tags["trained_until"] == str(LAST_OF_HISTORY - timedelta(days=3))
    assert msgspec.json.decode(champion.tags["verdict_reasons"])[0].startswith("judged on days")
    stored, files = unpack_model(stand.bank.bucket.get(s3_place(first.model_url)[1]))
    assert stored.version == "1"
    assert registry.files(champion) == files
    assert Detector.from_files(files).facts.schema_hash == SCHEMA_HASH
    [told] = S3ProgressLog(stand.bank.bucket).of_day(LAST_OF_HISTORY, ProgressPart.RETRAINING)
    assert told == Bootstrapped(
        day=LAST_OF_HISTORY,
        champion_version="1",
        average_precision=float(champion.tags["average_precision"]),
    )


def test_bootstrapping_again_finds_the_champion_that_is_there(stand: Stand) -> None:
    assert bootstrap(stand.bank.run("first"), None, image=IMAGE, holdout_days=3) == stand.first


def train(bank: Bank, execution: str, policies: Policies = POLICIES) -> str:
    """What the state machine does up to the verdict; gives where SageMaker leaves the model."""
    assemble(bank.run(execution, policies), LAST_DAY)
    folder = bank.new_folder()
    fit(bank.run(execution, policies), folder)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(folder, ".")
    key = f"models/{execution}/job-1/output/model.tar.gz"
    bank.bucket.put(key, packed.getvalue())
    judge(bank.run(execution, policies))
    return f"s3://{bank.bucket.name}/{key}"


def ask(stand: Stand, patch: pytest.MonkeyPatch, **event: Any) -> dict[str, Any]:
    """The function `model` asked by the state machine."""
    patch.setattr(handler, "set_up_logging", lambda *_: None)
    patch.setenv("CARDWATCH_DATA_BUCKET", stand.bank.bucket.name)
    patch.setenv("CARDWATCH_MODEL_PACKAGE_GROUP", GROUP)
    patch.setenv("CARDWATCH_ENDPOINT", "scoring")
    return handler.handle(event)


@pytest.mark.proves("moto", "the jobs make the model that the Prefect flow makes")
def test_the_jobs_make_the_very_model_that_the_stages_of_the_flow_make(stand: Stand) -> None:
    bank = stand.bank
    url = train(bank, "same-model")
    version, files = unpack_model(bank.bucket.get(s3_place(url)[1]))

    archive, tell = fetched(bank), logging.getLogger()
    bank.bucket.fetch_folder("tables/", bank.folder / "tables")
    log = stages.replay(archive, ReferenceTableStore(bank.folder / "tables"), tell)
    chosen = stages.choose_windows(log, LAST_DAY, maturity_days=1, judge_days=2)
    rows = stages.assemble(archive, log, LAST_DAY, chosen, tell)
    candidate = stages.fit(rows, recent_rows(log), chosen, bank.new_folder(), tell)
    trial = stages.judge_against_champion(SageMakerRegistry(GROUP), candidate.detector, rows, chosen, POLICIES, tell)

    assert version.digest == candidate.digest
    assert version.tags["fingerprint"] == candidate.fingerprint
    judged = Execution(bank.bucket, "same-model").judged()
    assert judged.verdict == trial.verdict
    assert trial.champion_version == "1"
    assert set(files) == {"model.ubj", "trees.bin", "detector.json", "reference.parquet"}
    assert b"# Card-fraud detector" in bank.bucket.get("models/same-model/model_card.md")


class WithUpdates:
    """SageMaker as moto serves it, with the call that it lacks: an update is taken at once, or rolled back."""

    def __init__(self) -> None:
        self._client = boto3.client("sagemaker")
        self.updates: list[dict[str, Any]] = []
        self.rolls_back = False

    def update_endpoint(self, **arguments: Any) -> None:
        self.updates.append(arguments)
        if not self.rolls_back:
            name = arguments["EndpointName"]
            self._client.delete_endpoint(EndpointName=name)
            self._client.create_endpoint(EndpointName=name, EndpointConfigName=arguments["EndpointConfigName"])

    def say(self, arn: str, approval: str) -> None:
        """What somebody says of a package; moto forgets the metadata that is not said again."""
        found = self._client.describe_model_package(ModelPackageName=arn)
        self._client.update_model_package(
            ModelPackageArn=arn,
            ModelApprovalStatus=approval,
            CustomerMetadataProperties=found["CustomerMetadataProperties"],
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


SCORING = {
    "image": IMAGE,
    "role": "arn:aws:iam::123456789012:role/scoring",
    "environment": {"CARDWATCH_MODEL_FOLDER": "/opt/ml/model"},
    "subnets": ["subnet-1"],
    "security_groups": ["sg-1"],
    "kms_key": "arn:aws:kms:eu-central-1:123456789012:key/1",
    "alarms": ["scoring-errors"],
}


@pytest.fixture
def sagemaker(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> Iterator[WithUpdates]:
    """With the endpoint `scoring`, which serves the first champion."""
    client = WithUpdates()
    client.create_model(
        ModelName="terraformed",
        ExecutionRoleArn=SCORING["role"],
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": stand.first.model_url},
    )
    client.create_endpoint_config(
        EndpointConfigName="terraformed",
        ProductionVariants=[
            {
                "VariantName": "champion",
                "ModelName": "terraformed",
                "InitialInstanceCount": 2,
                "InstanceType": "ml.c5.large",
                "InitialVariantWeight": 1,
            }
        ],
        DataCaptureConfig={
            "EnableCapture": True,
            "InitialSamplingPercentage": 100,
            "DestinationS3Uri": "s3://history/capture",
            "CaptureOptions": [{"CaptureMode": "Input"}],
        },
    )
    client.create_endpoint(EndpointName="scoring", EndpointConfigName="terraformed")
    monkeypatch.setattr(handler, "Endpoint", lambda name: Endpoint(name, client=client))
    yield client
    client.delete_endpoint(EndpointName="scoring")
    client.delete_endpoint_config(EndpointConfigName="terraformed")
    client.delete_model(ModelName="terraformed")
    client.close()


def test_a_promoted_candidate_is_registered_and_served_and_then_its_retraining_has_ended(
    stand: Stand, sagemaker: WithUpdates, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution, progress = "promoted", S3ProgressLog(stand.bank.bucket)
    url = train(stand.bank, execution)
    verdict = ask(stand, monkeypatch, action="verdict", execution=execution, day=str(LAST_DAY), model_data_url=url)
    assert verdict["promoted"] is True
    assert verdict["reasons"][0].startswith("judged on days")

    register = {"action": "register", "execution": execution, "model_data_url": url, "image": IMAGE}
    register |= {"day": str(LAST_DAY), "reasons": ["it wore out"], "manual_approval": True}
    arn = ask(stand, monkeypatch, **register)["model_package_arn"]
    assert ask(stand, monkeypatch, **register)["model_package_arn"] == arn  # asked again
    registry = SageMakerRegistry(GROUP)
    assert registry.champion() == stand.first.version  # nobody has approved it yet
    assert registry.alias("challenger") == registry.package(arn).version
    sagemaker.say(arn, "Approved")
    champion = registry.champion_package()
    assert champion.arn == arn
    assert champion.version.version == "2"
    assert champion.version.tags["because"] == '["it wore out"]'

    update = {"action": "update", "execution": execution, "model_package_arn": arn, "scoring": SCORING}
    config = ask(stand, monkeypatch, **update)["endpoint_config"]
    assert ask(stand, monkeypatch, **update)["endpoint_config"] == config
    assert len(sagemaker.updates) == 1
    deployment = sagemaker.updates[0]["DeploymentConfig"]
    assert deployment["AutoRollbackConfiguration"] == {"Alarms": [{"AlarmName": "scoring-errors"}]}
    made = sagemaker.describe_endpoint_config(EndpointConfigName=config)
    [variant] = made["ProductionVariants"]
    assert (variant["InstanceType"], variant["InitialInstanceCount"]) == ("ml.c5.large", 2)
    assert made["DataCaptureConfig"]["DestinationS3Uri"] == "s3://history/capture"
    model = sagemaker.describe_model(ModelName=variant["ModelName"])
    assert model["PrimaryContainer"]["ModelDataUrl"] == champion.model_url
    assert model["PrimaryContainer"]["Environment"] == SCORING["environment"]
    assert model["VpcConfig"]["Subnets"] == ["subnet-1"]

    assert progress.of_day(LAST_DAY, ProgressPart.RETRAINING) == []
    status = {"action": "status", "execution": execution, "endpoint_config": config}
    assert ask(stand, monkeypatch, **status) == {"status": "InService"}
    assert progress.of_day(LAST_DAY, ProgressPart.RETRAINING) == [
        RetrainingEnded(day=LAST_DAY, challenger_version="2", promoted=True, reasons=verdict["reasons"])
    ]
    served, _ = unpack_model(stand.bank.bucket.get(s3_place(champion.model_url)[1]))
    assert served.version == "2"
    sagemaker.say(arn, "Rejected")
    assert registry.champion() == stand.first.version


def test_an_endpoint_that_went_back_to_the_old_model_is_told_so(
    stand: Stand, sagemaker: WithUpdates, monkeypatch: pytest.MonkeyPatch
) -> None:
    sagemaker.rolls_back = True
    update = {"action": "update", "execution": "first", "model_package_arn": stand.first.arn, "scoring": SCORING}
    config = ask(stand, monkeypatch, **update)["endpoint_config"]
    status = {"action": "status", "execution": "first", "endpoint_config": config}
    assert ask(stand, monkeypatch, **status) == {"status": "RolledBack"}


def test_a_refused_candidate_ends_the_retraining_and_the_champion_stays(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(stand.bank, "refused", NOBODY_IS_BETTER)
    verdict = ask(stand, monkeypatch, action="verdict", execution="refused")
    assert verdict["promoted"] is False
    assert any(reason.startswith("FAILED: average precision") for reason in verdict["reasons"])
    assert S3ProgressLog(stand.bank.bucket).of_day(LAST_DAY, ProgressPart.RETRAINING) == [
        RetrainingEnded(day=LAST_DAY, challenger_version=None, promoted=False, reasons=verdict["reasons"])
    ]
    assert SageMakerRegistry(GROUP).champion() == stand.first.version


def test_a_model_other_than_the_judged_one_is_not_registered(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    train(stand.bank, "swapped")
    other = "models/swapped/job-2/output/model.tar.gz"
    version, files = unpack_model(stand.bank.bucket.get("models/swapped/job-1/output/model.tar.gz"))
    files["detector.json"] += b"\n"
    changed = structs.replace(version, tags={**version.tags, "digest": digest_of(files)})
    stand.bank.bucket.put(other, pack_model(changed, files))
    event = {"action": "register", "execution": "swapped", "image": IMAGE, "reasons": [], "manual_approval": False}
    with pytest.raises(CorruptModel, match="was judged"):
        ask(stand, monkeypatch, **event, model_data_url=f"s3://{stand.bank.bucket.name}/{other}")
    assert SageMakerRegistry(GROUP).of_execution("swapped") is None


def test_a_registered_model_whose_files_were_changed_is_not_taken(stand: Stand) -> None:
    registry = SageMakerRegistry(GROUP)
    champion = registry.champion()
    forged = structs.replace(champion, tags={**champion.tags, "digest": "0" * 64})
    with pytest.raises(CorruptModel, match="changed after that"):
        registry.files(forged)


def test_a_registration_that_is_killed_at_any_step_is_brought_to_its_end_by_the_next(stand: Stand) -> None:
    bucket, group = new_bucket(f"registrations-{next(NUMBERS)}"), "registrations"
    client = boto3.client("sagemaker")
    client.create_model_package_group(ModelPackageGroupName=group)
    registration = Registration(
        execution="killed",
        files=SageMakerRegistry(GROUP).files(stand.first.version),
        tags=stand.first.version.tags,
        image=IMAGE,
        approved=True,
    )

    class DyingOnceCreated:
        def create_model_package(self, **arguments: Any) -> None:
            client.create_model_package(**arguments)
            raise Killed

        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

    for dies_at in (0, 1):  # before the model is stored, before the other tags are
        with pytest.raises(Killed):
            SageMakerRegistry(group).register(Dying(bucket.name, dies_at), registration)
    with pytest.raises(Killed):
        SageMakerRegistry(group, client=DyingOnceCreated()).register(bucket, registration)
    stale = structs.replace(stand.first.version, version="7")  # as if another number had been the next
    bucket.put("models/killed/model.tar.gz", pack_model(stale, registration.files))

    package = SageMakerRegistry(group).register(bucket, registration)

    assert len(client.list_model_packages(ModelPackageGroupName=group)["ModelPackageSummaryList"]) == 1
    assert package.version.version == "1"
    assert {**package.version.tags} == registration.tags
    stored, files = unpack_model(bucket.get("models/killed/model.tar.gz"))
    assert stored.version == "1"
    assert files == registration.files
    client.close()


def test_a_group_without_a_champion_says_how_to_get_one(stand: Stand) -> None:
    client = boto3.client("sagemaker")
    client.create_model_package_group(ModelPackageGroupName="empty")
    client.close()
    registry = SageMakerRegistry("empty")
    assert registry.alias("champion") is registry.alias("challenger") is registry.version("1") is None
    with pytest.raises(NoChampion, match="bootstrap"):
        registry.champion()


def test_a_step_whose_predecessor_left_nothing_says_what_is_missing(stand: Stand) -> None:
    with pytest.raises(ObjectMissing, match=r"training/unheard-of/assembled\.json"):
        judge(stand.bank.run("unheard-of"))


def test_an_action_that_nobody_knows_is_misconfigured(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Misconfigured, match="does not know what to do"):
        ask(stand, monkeypatch, action="dance", execution="first")


# --- Watching ---------------------------------------------------------------------------------------------------


class Heard:
    """An event bus that keeps what it was told."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.dies = False

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 (it is called so)
        self.events += Entries
        if self.dies:
            raise Killed
        return {"FailedEntryCount": 0, "Entries": []}


@pytest.fixture
def heard() -> Heard:
    return Heard()


def is_needed_to_watch(key: str) -> bool:
    """The archive, as far as a look at the last days goes."""
    first = LAST_DAY - timedelta(days=7)
    old = "/date=" in key and key.split("/date=")[1] < str(first) and "/labels/" not in key
    return key.startswith("archive/") and not old


@pytest.fixture
def watch(stand: Stand, heard: Heard) -> tuple[Callable[..., None], S3ProgressLog]:
    """Looks at a day in a copy of the bucket; and what the copy has been told."""
    bucket = copied(stand.bank.bucket, f"watched-{next(NUMBERS)}", is_needed_to_watch)

    def look(day: date, **policy: int) -> None:
        watch_day(
            Watcher(
                bucket,
                SageMakerRegistry(GROUP),
                EventBus("cardwatch-test", client=heard),
                structs.replace(POLICIES.drift, judge_days=1, **policy),
                stand.bank.new_folder(),
            ),
            day,
        )

    return look, S3ProgressLog(bucket)


Watch = tuple[Callable[..., None], S3ProgressLog]


def test_a_worn_out_champion_is_told_of_and_a_retraining_asked_for(watch: Watch, heard: Heard) -> None:
    look, progress = watch
    look(LAST_DAY)
    detected, started, monitored = progress.of_day(LAST_DAY, ProgressPart.MONITOR)
    assert isinstance(detected, DriftDetected)
    assert isinstance(started, RetrainingStarted)
    assert isinstance(monitored, DayMonitored)
    assert (monitored.day, monitored.champion_version, monitored.state) == (LAST_DAY, "1", "worn out")
    assert monitored.average_precision is not None
    [event] = heard.events
    assert (event["EventBusName"], event["Source"], event["DetailType"]) == (
        "cardwatch-test",
        "cardwatch",
        "DriftDetected",
    )
    assert msgspec.json.decode(event["Detail"]) == {
        "day": str(LAST_DAY),
        "reasons": started.reasons,
        "champion_version": "1",
    }


def test_a_day_that_was_looked_at_is_not_looked_at_again(watch: Watch, heard: Heard) -> None:
    look, _ = watch
    look(LAST_DAY)
    look(LAST_DAY)
    assert len(heard.events) == 1


def test_killed_after_the_event_it_is_put_again(watch: Watch, heard: Heard) -> None:
    look, progress = watch
    heard.dies = True
    with pytest.raises(Killed):
        look(LAST_DAY)
    heard.dies = False
    assert progress.of_day(LAST_DAY, ProgressPart.MONITOR) == []
    look(LAST_DAY)
    assert [event["Detail"] for event in heard.events] == [heard.events[0]["Detail"]] * 2


@pytest.mark.parametrize(("rest", "asked_again"), [(1, True), (2, False)])
def test_a_retraining_that_has_not_ended_is_asked_for_again_when_the_rest_after_a_refusal_is_over(
    watch: Watch, heard: Heard, *, rest: int, asked_again: bool
) -> None:
    look, progress = watch
    before, last = LAST_DAY - timedelta(days=1), LAST_DAY
    look(before, days_after_refusal=rest)
    look(last, days_after_refusal=rest)
    days = [msgspec.json.decode(event["Detail"])["day"] for event in heard.events]
    assert days == [str(before), str(last)][: 1 + asked_again]
    told = progress.of_day(last, ProgressPart.MONITOR)
    assert not [record for record in told if isinstance(record, DriftDetected)]  # told once of each champion


def test_after_a_promotion_the_new_champion_is_given_time(watch: Watch, heard: Heard) -> None:
    look, progress = watch
    before = LAST_DAY - timedelta(days=1)
    ended = RetrainingEnded(day=before, challenger_version="1", promoted=True, reasons=[])
    progress.write(before, ProgressPart.RETRAINING, [ended])
    look(LAST_DAY)
    assert heard.events == []
    [*_, monitored] = progress.of_day(LAST_DAY, ProgressPart.MONITOR)
    assert isinstance(monitored, DayMonitored)
    assert monitored.state == "worn out"


def test_a_day_that_is_not_archived_yet_is_waited_for(watch: Watch) -> None:
    look, progress = watch
    with pytest.raises(ArchiveUnavailable, match="the archive's job comes first"):
        look(LAST_DAY + timedelta(days=1))
    assert progress.of_day(LAST_DAY + timedelta(days=1), ProgressPart.MONITOR) == []


# --- As processes -----------------------------------------------------------------------------------------------


def test_as_processes_the_jobs_go_by_their_environment(
    stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket, day = copied(stand.bank.bucket, f"processes-{next(NUMBERS)}"), LAST_DAY + timedelta(days=1)
    events = boto3.client("events")
    events.create_event_bus(Name="processes")
    events.close()
    monkeypatch.setattr(jobs, "set_up_logging", lambda *_: None)
    for name, value in {
        "HOME": tmp_path,
        "DATA_BUCKET": bucket.name,
        "MODEL_PACKAGE_GROUP": GROUP,
        "EVENT_BUS": "processes",
        "AS_OF_DAY": day,
        "EXECUTION": "processes",
        "MODEL_FOLDER": tmp_path / "model",
    }.items():
        monkeypatch.setenv(f"CARDWATCH_{name}", str(value))

    archive_main()
    watch_main()
    for step in ("assemble", "fit"):
        monkeypatch.setattr("sys.argv", ["pipelines.sagemaker", step])
        pipelines_main()

    assert [type(told) for told in S3ProgressLog(bucket).of_day(day, ProgressPart.MONITOR)] == [DayMonitored]
    assert read_model(tmp_path / "model")[0].version == "processes"
    assert Execution(bucket, "processes").assembled().as_of == day
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]  # nothing else is left on the disk
    monkeypatch.setenv("CARDWATCH_AS_OF_DAY", "yesterday")
    with pytest.raises(SystemExit, match="2"):
        archive_main()


def test_without_a_day_a_job_is_about_the_last_one_that_has_ended() -> None:
    just_after_midnight = datetime(2025, 1, 7, 0, 5, tzinfo=UTC)
    assert jobs.day_of(Settings(), just_after_midnight) == date(2025, 1, 6)
    assert jobs.day_of(Settings(as_of_day="2025-03-01"), just_after_midnight) == date(2025, 3, 1)


def test_what_a_job_cannot_do_without_is_named() -> None:
    with pytest.raises(Misconfigured, match="CARDWATCH_DATA_BUCKET is not set"):
        jobs.required(Settings(), "data_bucket")


def test_the_bus_of_eventbridge_takes_the_event_or_is_misconfigured(aws: str) -> None:
    events = boto3.client("events")
    events.create_event_bus(Name="cardwatch-bus")
    events.close()
    started = RetrainingStarted(day=LAST_DAY, champion_version="1", reasons=["it wore out"])
    EventBus("cardwatch-bus").ask_for_retraining(started)


def test_an_event_that_the_bus_has_not_taken_is_put_again_by_whoever_comes_next() -> None:
    class Full:
        def put_events(self, **_arguments: Any) -> dict[str, Any]:
            return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "ThrottlingException"}]}

    started = RetrainingStarted(day=LAST_DAY, champion_version="1", reasons=[])
    with pytest.raises(Unavailable, match="ThrottlingException"):
        EventBus("full", client=Full()).ask_for_retraining(started)


def test_the_function_model_needs_nothing_that_fits_or_reads_archives() -> None:
    code = "import sys, pipelines.sagemaker.handler; print(*(sys.modules.keys() & set(sys.argv[1:])))"
    heavy = ["xgboost", "sklearn", "pyarrow", "sqlalchemy", "prefect", "pandas", "confluent_kafka"]
    loaded = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
