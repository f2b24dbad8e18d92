"""A running system at small scale: real broker, registry, scoring service and archive, and a champion to score with."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import msgspec
import psutil

from adapters.archive.reader import Archive
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.kafka.offsets import OffsetReader, commit_offsets
from adapters.kafka.progress import ProgressReader, publish_progress
from adapters.kafka.topics import end_offsets
from adapters.local_stack.readiness import is_responding
from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.model_registry.mlflow_tracking import MlflowTracking
from adapters.runtime.settings import Settings
from cardwatch.errors import CardwatchError
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.label_maturity import end_of_day
from cardwatch.progress import Bootstrapped, DayArchived, DayEmitted, Progress
from cardwatch.promotion.split import temporal_split
from cardwatch.registry import CHAMPION
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.topics import STREAM_GROUP, TRANSACTIONS
from infra.local_stack.stack import LocalStack
from models.training import TrainingSettings
from pipelines.steps.fitting import fit_candidate, recent_rows
from pipelines.steps.training_set import assemble_training_set, newest_closed_day, replay_log
from tests.deadlines import until

FIRST_DAY = date(2025, 1, 6)
HISTORY_DAYS = 16
CARDS = 300
RATE = 150
"""Transactions per second."""
GENERATOR = "generator"


class System:
    """The running stack, with what tests ask of it. The simulation has this number of cards."""

    def __init__(self, stack: LocalStack, *, cards: int = CARDS) -> None:
        self.stack, self._cards = stack, cards
        self.settings: Settings = stack.settings
        self.until = until

    def simulate(self, name: str, **plan: object) -> None:
        """Start a generator with this plan."""
        path = self.settings.home / f"{name}.json"
        world = SimulationSettings(seed=5, cards=self._cards, first_day=FIRST_DAY, fraud_share=0.02)
        path.write_bytes(msgspec.json.encode({"world": world, "live_days": 0, **plan}))
        self.stack.run(name, "services.generator", str(path))

    def wait_for(self, what: str, sought: Callable[[Progress], bool]) -> None:
        """Wait for a record of the topic `progress`, past ones included."""
        with closing(ProgressReader(self.settings.kafka)) as progress:

            def seen() -> bool:
                self.stack.supervisor.check()
                told = progress.poll(0.2)
                return told is not None and sought(told)

            until(what, seen)

    def publish(self, record: Progress) -> None:
        """Put a record on the topic `progress`."""
        publish_progress(self.settings.kafka, record)

    def ends(self, topic: str) -> dict[int, int]:
        """Where the topic's partitions end, under `read_committed`."""
        return end_offsets(self.settings.kafka, topic)

    def train_champion(self) -> None:
        """A champion out of the archived history, registered and served."""
        version = self.train_version(TrainingSettings(trees=30, threads=1))
        with closing(MlflowRegistry(self.settings.mlflow_url)) as registry:
            registry.set_alias(CHAMPION, version)
        until("the champion is served", lambda: is_responding(f"{self.settings.scoring_url}/readyz"))

    def train_version(self, settings: TrainingSettings) -> str:
        """A model out of the archived history, registered without an alias."""
        history = Archive(self.settings.archive)
        log = replay_log(history, ReferenceTableStore(self.settings.tables).all())
        day = newest_closed_day(history)
        chosen = temporal_split(day, first=log.first_day, maturity_days=2, evaluation_days=3, train_days=30)
        training = assemble_training_set(log, history.labels(end_of_day(day)), day, chosen)
        recent = recent_rows(log, day, chosen)
        with tempfile.TemporaryDirectory() as folder:
            candidate = fit_candidate(training, recent, Path(folder), settings)
            return MlflowTracking(self.settings.mlflow_url).log_model(
                candidate.folder, run_name="test", schema_hash=SCHEMA_HASH, fingerprint=candidate.fingerprint
            )

    def is_all_decided(self) -> bool:
        """Whether the stream worker has committed everything that is in the log now; False without a broker."""
        try:
            ends = self.ends(TRANSACTIONS)
            committed = self._committed(sorted(ends))
        except CardwatchError:
            return False
        return all(committed.get(partition, 0) >= end for partition, end in ends.items())

    def archive_everything(self, day: date) -> None:
        """End `day` as a source does, and wait until the archive has closed it."""
        transactions, labels = ({str(p): end for p, end in self.ends(t).items()} for t in (TRANSACTIONS, "labels"))
        self.publish(DayEmitted(day=day, transaction_ends=transactions, label_ends=labels, decided=True))
        self.wait_for(f"{day} archived", lambda told: isinstance(told, DayArchived) and told.day == day)

    def decided(self) -> int | None:
        """The sum of the committed offsets of the stream's group; None without a broker."""
        try:
            return sum(self._committed(sorted(self.ends(TRANSACTIONS))).values())
        except CardwatchError:
            return None

    def await_decisions(self, number: int) -> None:
        """Wait until this many further transactions are decided, from when the broker answers on."""
        before: list[int] = []

        def reached() -> bool:
            if (now := self.decided()) is not None:
                before.append(now)
            return bool(before) and before[-1] >= before[0] + number

        until(f"{number} further decisions", reached)

    def _committed(self, partitions: list[int]) -> dict[int, int]:
        with closing(OffsetReader(self.settings.kafka, STREAM_GROUP)) as inquiry:
            return inquiry.committed(TRANSACTIONS, partitions)

    def begin_traffic(self) -> None:
        """Let the generator begin its fixed-rate phase."""
        self.publish(Bootstrapped(day=FIRST_DAY, champion_version="1", average_precision=0.5))

    def pause_traffic(self) -> None:
        """Let no further transaction come."""
        psutil.Process(self.stack.supervisor.pid(GENERATOR)).suspend()

    def resume_traffic(self) -> None:
        """Let transactions come again; those that were due during the pause come at once."""
        psutil.Process(self.stack.supervisor.pid(GENERATOR)).resume()


def start_system(stack: LocalStack, *, traffic_seconds: int, cards: int = CARDS, rate: float = RATE) -> System:
    """Archive history, serve a champion, and let the stream's group stand at the end of history; no worker runs."""
    stack.start("kafka", "mlflow")
    running = System(stack, cards=cards)
    stack.start("archive", "scoring")
    running.simulate(GENERATOR, history_days=HISTORY_DAYS, rate_per_second=rate, rate_seconds=traffic_seconds)
    last = FIRST_DAY + timedelta(days=HISTORY_DAYS - 1)
    running.wait_for("history archived", lambda told: isinstance(told, DayArchived) and told.day == last)
    running.train_champion()
    commit_offsets(stack.settings.kafka, STREAM_GROUP, TRANSACTIONS, running.ends(TRANSACTIONS))
    return running
