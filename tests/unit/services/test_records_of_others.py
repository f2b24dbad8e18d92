"""No record of any topic ends a service: each gets arbitrary bytes, and valid records with odd values."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from adapters.archive.archived_log import ArchivedLog
from adapters.archive.reader import Archive
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.archive.writer import ArchiveWriter
from adapters.feature_store.lmdb import LmdbStore
from adapters.runtime.health import Health
from adapters.runtime.process import Process
from adapters.runtime.settings import Settings
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.drift.policy import DriftPolicy
from cardwatch.errors import InvalidRecord
from cardwatch.events import FIRST_DAY, LAST_DAY, DeadLetter, decode
from cardwatch.features.definitions import FEATURES
from cardwatch.label_maturity import end_of_day, newest_mature_day
from cardwatch.partitioning import UNCHECKED
from cardwatch.progress import DayEmitted, Progress, RetrainingEnded, decode_progress
from cardwatch.records import Record
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.topics import DEAD_LETTERS, DECISIONS, LABELS, PROGRESS, TRANSACTIONS
from cli.demo.recorder import Recorder
from cli.demo.screen import render
from monitoring.feature_drift import DriftReference, FeatureDrift
from services.generator.metrics import GeneratorMetrics
from services.generator.plan import Plan
from services.generator.plan_runner import PlanRunner
from services.monitor.outcomes import count_outcomes
from services.monitor.performance import measure_performance
from services.stream.decision_engine import DecisionEngine
from services.stream.metrics import StreamMetrics
from services.stream.worker import Observers, StreamWorker
from tests.unit.cli.demo.test_view import PLAN
from tests.unit.services.archive.harness import ArchiverHarness
from tests.unit.services.generator.test_generator import CHAMPION, FakeProgress, FakeSender
from tests.unit.services.monitor.test_monitor_loop import Parts, live, on
from tests.unit.services.records_of_others import DAY, keys, values
from tests.unit.services.stream.memory_log import HalfOfAmount, MemoryLog

TOPICS_OF_ARCHIVE = (TRANSACTIONS, LABELS, DECISIONS, PROGRESS)
NOW_MS = 1_700_000_000_000.0
SLOW_INPUT = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
"""Hypothesis builds its tables of characters during the first example, and services write files."""


@settings(SLOW_INPUT, max_examples=150)
@given(batches=st.lists(st.lists(st.tuples(keys(), values(TRANSACTIONS)), min_size=1, max_size=4), max_size=3))
def test_the_stream_worker_decides_or_rejects_every_record(
    batches: list[list[tuple[bytes | None, bytes | None]]],
) -> None:
    records = [pair for batch in batches for pair in batch]
    log = MemoryLog([value for _, value in records], [key for key, _ in records])
    registry = CollectorRegistry()
    with TemporaryDirectory() as folder, LmdbStore(Path(folder) / "store") as store:
        worker = StreamWorker(
            store,
            ReferenceTableStore(Path(folder)),
            DecisionEngine(HalfOfAmount(), DecisionPolicy(), lambda: NOW_MS),
            UNCHECKED,
            ArchivedLog(Path(folder) / "archive"),
            Observers(StreamMetrics(registry)),
        )
        worker.assign_partitions(log, [0])
        for start, batch in zip(_starts(batches), batches, strict=True):
            worker.process_batch(log, {0: log.records[start : start + len(batch)]})
            worker.settle()
        letters = [decode(record.value, DeadLetter) for record in log.written if record.topic == DEAD_LETTERS]
        repeats = registry.get_sample_value("cardwatch_stream_repeats_total") or 0
        assert len(letters) + len(log.decisions()) + repeats == len(records)
        assert store.applied(0) == len(records)


@settings(SLOW_INPUT, max_examples=80)
@given(data=st.data())
def test_the_archive_archives_or_passes_over_every_record(data: st.DataObject) -> None:
    topics = data.draw(st.lists(st.sampled_from(TOPICS_OF_ARCHIVE), max_size=6))
    records = [
        Record(topic, 0, offset, 0, data.draw(keys()), data.draw(values(topic))) for offset, topic in enumerate(topics)
    ]
    with TemporaryDirectory() as folder:
        archiver = ArchiverHarness(Path(folder))
        archiver.add(*records)
        archiver.offsets.read = dict.fromkeys(TOPICS_OF_ARCHIVE, 2**40)
        archiver.add()
        archiver.archiver.flush()
        archived = sum(archiver.count("rows_total", kind=kind) or 0 for kind in (TRANSACTIONS, LABELS, DECISIONS))
        passed_over = sum(archiver.skipped(topic) for topic in (TRANSACTIONS, LABELS, DECISIONS))
        assert archived + passed_over == sum(topic != PROGRESS for topic in topics)
        _read_all(Path(folder))
        archiver.start()  # a restart reads what was archived


@settings(SLOW_INPUT, max_examples=300)
@given(value=values(PROGRESS))
def test_a_progress_record_is_decoded_or_refused(value: bytes | None) -> None:
    try:
        decode_progress(value)
    except InvalidRecord as error:
        assert str(error)


@pytest.mark.parametrize("kind", [DeadLetter])
@settings(SLOW_INPUT, max_examples=100)
@given(value=values(DEAD_LETTERS))
def test_a_dead_letter_is_decoded_or_refused(kind: type[Any], value: bytes | None) -> None:
    try:
        decode(value, kind)
    except InvalidRecord as error:
        assert str(error)


@settings(SLOW_INPUT, max_examples=150)
@given(given=st.lists(values(PROGRESS), max_size=6))
def test_the_monitor_monitors_own_days_after_any_progress_records(given: list[bytes | None]) -> None:
    with TemporaryDirectory() as folder:
        parts = Parts(Path(folder), promotes=False)
        monitor = parts.monitor()
        parts.run(monitor, *decoded(given), *live(0))
        assert on(0) in [record.day for record in parts.monitored()]
        restarted = parts.monitor()
        parts.run(restarted)  # a restart reads what was published


def test_the_monitor_observes_a_day_that_the_archive_does_not_hold(tmp_path: Path) -> None:
    zeros = np.zeros((1_000, len(FEATURES)), np.float32)
    rows = DriftReference(features=zeros, margins=zeros[:, 0], days=np.zeros(1_000, np.int64))
    assert FeatureDrift(rows).compare(zeros[:0], zeros[:0, 0], FIRST_DAY).share == 0
    ArchiveWriter(tmp_path, "").close()
    archive = Archive(tmp_path, "")
    for day in (FIRST_DAY, LAST_DAY):
        newest = newest_mature_day(day, DriftPolicy().maturity_days)
        assert measure_performance(archive.decisions(newest, newest), archive.labels(end_of_day(day)), "1") is None
        of_day = archive.decisions(day, day), archive.transactions(day, day), archive.all_labels()
        assert count_outcomes(*of_day, challenge_stops_fraud=0.9) == {}


@settings(SLOW_INPUT, max_examples=60)
@given(given=st.lists(values(PROGRESS), max_size=6))
def test_the_generator_sends_its_plan_after_any_progress_records(given: list[bytes | None]) -> None:
    world = SimulationSettings(seed=3, cards=50, first_day=DAY)
    topic = FakeProgress(CHAMPION, *decoded(given))
    sender = FakeSender(topic)
    plan = Plan(world=world, history_days=1, live_days=2, rate_seconds=0.0, wait_timeout_seconds=5.0)
    process = Process(Settings(), Health(), Event())
    PlanRunner(plan, sender, topic, process, GeneratorMetrics(CollectorRegistry())).run()  # type: ignore[arg-type]
    announced_by_others = {record.day for record in decoded(given) if isinstance(record, DayEmitted)}
    wanted = [DAY + timedelta(days=number) for number in range(3)]
    promoted = any(isinstance(record, RetrainingEnded) and record.promoted for record in decoded(given))
    assert promoted or [day for day in wanted if day not in announced_by_others] == sender.days


@settings(SLOW_INPUT, max_examples=150)
@given(data=st.data())
def test_the_recorder_of_the_demo_shows_or_passes_over_every_record(data: st.DataObject) -> None:
    topics = data.draw(st.lists(st.sampled_from((TRANSACTIONS, DECISIONS, LABELS, PROGRESS)), max_size=6))
    recorder = Recorder(PLAN)
    recorder.take([Record(topic, 0, 0, 0, None, data.draw(values(topic))) for topic in topics], arrived_ms=NOW_MS)
    render(recorder.snapshot(), 100, 40)


def decoded(given: Sequence[bytes | None]) -> list[Progress]:
    """Return the records that a `ProgressReader` does not pass over."""
    found: list[Progress] = []
    for value in given:
        with suppress(InvalidRecord):
            found.append(decode_progress(value))
    return found


def _starts(batches: Sequence[Sequence[object]]) -> list[int]:
    return [sum(map(len, batches[:index])) for index in range(len(batches))]


def _read_all(folder: Path) -> None:
    archive = Archive(folder, "")
    archive.transactions(date.min, date.max)
    archive.decisions(date.min, date.max)
    archive.all_labels()
