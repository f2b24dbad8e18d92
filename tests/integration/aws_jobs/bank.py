"""A small simulated bank on moto: its transactions are decided, archived day by day, trained on and monitored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from typing import NamedTuple

import boto3
import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from adapters.archive.reader import Archive
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.aws.object_keys import parse_object_url
from adapters.aws.s3 import Bucket
from adapters.aws.s3_archive import S3Archive
from adapters.aws.sagemaker_registry import Package, SageMakerRegistry
from adapters.model_registry.model_folder import unpack_model
from adapters.runtime.policy_file import Policies
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.decision.folding import fold_transactions
from cardwatch.detector.detector import Detector
from cardwatch.drift.policy import DriftPolicy, EvidenceThreshold
from cardwatch.errors import (
    ScoringUnavailable,
)
from cardwatch.events import Decision, Label, Transaction, decode, encode
from cardwatch.features.columns import card_index
from cardwatch.features.state import STATE
from cardwatch.ports import Scores
from cardwatch.records import Record
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cardwatch.topics import DECISIONS, LABELS, TRANSACTIONS
from pipelines.sagemaker.execution import ExecutionArtifacts
from pipelines.sagemaker.jobs import RetrainingJob
from services.archive.aws.daily_job import archive_day
from services.archive.aws.repartition import partition_of
from services.stream.batch import Batch
from services.stream.decision_engine import DecisionEngine
from tests import promotion_policies

REGION = "eu-central-1"
GROUP = "cardwatch-test"
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/cardwatch-test-scoring:1"
WORLD = SimulationSettings(seed=5, cards=50, fraud_share=0.04)
HISTORY_DAYS, WATCHED_DAYS, RESHARDED_ON = 18, 3, 2
LAST_OF_HISTORY = WORLD.first_day + timedelta(days=HISTORY_DAYS - 1)
LAST_DAY = LAST_OF_HISTORY + timedelta(days=WATCHED_DAYS)
BATCH = 150

NUMBERS = count()
"""Numbers for unique bucket names."""

ANY_RESULT_IS_A_LOSS = EvidenceThreshold(loss=-1e9, standard_errors=-1e9, days=1)
POLICIES = Policies(
    drift=DriftPolicy(
        maturity_days=1,
        performance_days=3,
        drift_days=2,
        minimum_frauds=1,
        with_drift=ANY_RESULT_IS_A_LOSS,
        without_drift=ANY_RESULT_IS_A_LOSS,
        judge_days=2,
        new_training_days=0,
        cooldown_days_after_promotion=5,
        cooldown_days_after_refusal=1,
        drift_share=2.0,  # never
    ),
    promotion=promotion_policies.ANY_CHALLENGER_WINS,
)
NO_CHALLENGER_WINS = structs.replace(POLICIES, promotion=promotion_policies.NO_CHALLENGER_WINS)
AS_JUDGED = structs.replace(POLICIES, promotion=structs.replace(POLICIES.promotion, refit=False))
"""The judged model itself is registered."""


class Killed(BaseException):
    """The job is killed at this point."""


class Served:
    """The endpoint: without a model at first, then with the champion that `serve` sets."""

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
    """Events of a day, in order."""

    day: date
    transactions: list[Transaction]
    labels: list[Label]
    decisions: list[Decision]


class Bank:
    """The simulation, the stream worker that decides, and the bucket; one day after another."""

    def __init__(self, bucket: Bucket, folder: Path) -> None:
        self.bucket, self.folder = bucket, folder
        self.served = Served()
        self.days: list[Day] = []
        self._world = Simulation(WORLD)
        self._engine = DecisionEngine(self.served, DecisionPolicy(), lambda: 1_800_000_000_000.0)
        self._states: dict[str, np.void] = {}
        self._ends: dict[int, int] = defaultdict(int)
        self._folders = count()

    def live(self) -> Day:
        """Simulate a day: decide its transactions, and deliver decisions and labels to the bucket."""
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
        _, files = unpack_model(self.bucket.get(parse_object_url(package.model_url)[1]))
        self.served.version, self.served.detector = package.version.version, Detector.from_files(files)

    def run(self, execution: str, policies: Policies = POLICIES) -> RetrainingJob:
        return RetrainingJob(
            ExecutionArtifacts(self.bucket, execution), SageMakerRegistry(GROUP), policies, self.new_folder()
        )

    def _shard_of(self, card_id: str, day: int) -> int:
        """One shard, which is split in two on day `RESHARDED_ON`."""
        return 0 if day < RESHARDED_ON else 1 + partition_of(card_id) % 2

    def _decide(self, shard: int, transactions: list[Transaction]) -> list[Decision]:
        cards, index = card_index([transaction.card_id for transaction in transactions])
        states = np.array([self._states.get(card, np.zeros((), STATE)) for card in cards], STATE)
        tables = ReferenceTableStore(self.folder / "tables")
        first = self._ends[shard]
        records = [Record(TRANSACTIONS, shard, first + i, 0, None, None) for i in range(len(transactions))]
        folded = fold_transactions(tables, states, index, transactions)
        batch = Batch(shard, first, first + len(records), records, folded, cards, states, [])
        decisions = self._engine.decide([batch]).decisions
        self._states |= dict(zip(cards, states.copy(), strict=True))
        self._ends[shard] = batch.stop
        lines = [encode(decision) for decision in decisions]
        self.bucket.put(f"decisions/shard={shard}/{first:020d}.jsonl", b"\n".join(lines) + b"\n")
        return [decode(line, Decision) for line in lines]


def new_bucket(name: str) -> Bucket:
    client = boto3.client("s3")
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    client.close()
    return Bucket(name)


class Stand(NamedTuple):
    """A bank with its first champion in service."""

    bank: Bank
    first: Package


class KillingBucket(Bucket):
    """A bucket whose user is killed at the n-th write."""

    def __init__(self, name: str, dies_at: int) -> None:
        super().__init__(name)
        self._left = dies_at

    def put(self, key: str, content: bytes | Path, *, replaces: str | None = None) -> str:
        if self._left == 0:
            raise Killed
        self._left -= 1
        return super().put(key, content, replaces=replaces)


def copied(bucket: Bucket, name: str, wanted: Callable[[str], bool] = bool) -> Bucket:
    copy = new_bucket(name)
    for found in bucket.objects(""):
        if wanted(found.key):
            copy.put(found.key, bucket.get(found.key))
    return copy


def fetched(bank: Bank, bucket: Bucket | None = None) -> Archive:
    """Download the complete archive from `bucket`, or else from the bucket of the bank."""
    stored = S3Archive(bucket or bank.bucket, bank.new_folder())
    archive = stored.fetch_index()
    stored.fetch_files(dict.fromkeys((TRANSACTIONS, DECISIONS, LABELS), date.min))
    return archive
