"""Measurements of kills under traffic, for the containers and the embedded stack."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import date, timedelta
from itertools import pairwise
from typing import NamedTuple

import msgspec
import pytest
from msgspec import Struct

from adapters.kafka.consumer import LogReader
from adapters.kafka.offsets import OffsetReader
from adapters.kafka.progress import ProgressReader, publish_progress
from adapters.kafka.topics import end_offsets
from adapters.runtime.settings import Settings
from cardwatch.errors import CardwatchError
from cardwatch.progress import DayArchived, DayEmitted
from cardwatch.topics import DECISIONS, LABELS, STREAM_GROUP, TRANSACTIONS
from tests import deadlines

STEADY_SECONDS = 5.0
RECOVERY_SECONDS = 120.0


class _Decision(Struct):
    latency_ms: float
    degraded: bool = False


class ObservedDecision(NamedTuple):
    """A decision with the time of its observation in seconds of a monotonic clock."""

    at: float
    degraded: bool
    latency_ms: float


class KillEffect(NamedTuple):
    """Effect of a kill. `recovered_seconds` is the time until the model decides again at the earlier rate."""

    victim: str
    recovered_seconds: float
    longest_silence_seconds: float
    slowest_ms: float
    degraded: int
    decisions: int


class Watcher:
    """Consumes new decisions in a thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._observed: list[ObservedDecision] = []
        self._stopping = threading.Event()
        self._start = {(DECISIONS, p): end for p, end in end_offsets(settings.kafka, DECISIONS).items()}
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()

    def since(self, moment: float) -> list[ObservedDecision]:
        return [each for each in self._observed[:] if each.at >= moment]

    def is_steady(self, since: float, rate: float) -> bool:
        """Whether the model has made all decisions of the last seconds, at the rate and after `since`."""
        now = time.monotonic()
        if now - since < STEADY_SECONDS:
            return False
        newest = self.since(now - STEADY_SECONDS)
        enough = len(newest) > 0.9 * rate * STEADY_SECONDS
        return enough and not any(each.degraded for each in newest) and newest[-1].latency_ms < 1_000.0

    def measure(self, victim: str, kill: Callable[[], None], is_back: Callable[[], bool], rate: float) -> KillEffect:
        """Kill, wait for recovery, and return the effect."""
        before = time.monotonic()
        kill()
        back = None
        while not (back is not None and self.is_steady(back, rate)):
            if back is None and is_back():
                back = time.monotonic()
            assert time.monotonic() - before < RECOVERY_SECONDS, (
                f"{victim}: not recovered within {RECOVERY_SECONDS:g} s"
            )
            time.sleep(0.2)
        observed = self.since(before)
        times = [before, *(each.at for each in observed)]
        return KillEffect(
            victim=victim,
            recovered_seconds=self._recovered_at(back, observed) - before,
            longest_silence_seconds=max(later - earlier for earlier, later in pairwise(times)),
            slowest_ms=max(each.latency_ms for each in observed),
            degraded=sum(each.degraded for each in observed),
            decisions=len(observed),
        )

    def _recovered_at(self, back: float, observed: Sequence[ObservedDecision]) -> float:
        """Return the later of the restart and the last decision that was degraded or took a second."""
        return max([back, *(each.at for each in observed if each.degraded or each.latency_ms > 1_000.0)])

    def _follow(self) -> None:
        decode = msgspec.json.Decoder(_Decision).decode
        with LogReader(self._settings.kafka, self._start) as reader:
            while not self._stopping.is_set():
                records = reader.poll(0.1)
                now = time.monotonic()
                decisions = [decode(record.value or b"{}") for record in records]
                self._observed += [
                    ObservedDecision(now, decision.degraded, decision.latency_ms) for decision in decisions
                ]


def table_of(effects: Sequence[KillEffect]) -> str:
    """Format the effects as a table."""
    lines = [f"{'killed':<16}{'recovery s':>12}{'silence s':>11}{'slowest ms':>12}{'degraded':>10}{'decisions':>11}"]
    lines += [
        f"{one.victim:<16}{one.recovered_seconds:>12.1f}{one.longest_silence_seconds:>11.1f}{one.slowest_ms:>12.0f}"
        f"{one.degraded:>10}{one.decisions:>11}"
        for one in effects
    ]
    return "\n".join(lines)


@pytest.fixture
def watch() -> Iterator[Callable[[Settings], Watcher]]:
    """Starts a watcher of a system's decisions."""
    watchers: list[Watcher] = []

    def start(settings: Settings) -> Watcher:
        watchers.append(Watcher(settings))
        return watchers[-1]

    yield start
    for watcher in watchers:
        watcher.close()


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str]) -> Callable[[object], None]:
    """Prints text, or effects as a table, without pytest's capture."""

    def write(what: object) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{table_of(what) if isinstance(what, list) else what}")
            sys.stdout.flush()

    return write


@pytest.fixture(scope="session")
def until() -> Callable[..., float]:
    """Polls until a condition holds, and returns the seconds that it took."""

    def wait(what: str, reached: Callable[[], bool], seconds: float = RECOVERY_SECONDS) -> float:
        return deadlines.until(what, reached, seconds, poll_seconds=0.25)

    return wait


def is_all_decided(settings: Settings) -> bool:
    try:
        ends = end_offsets(settings.kafka, TRANSACTIONS)
        with closing(OffsetReader(settings.kafka, STREAM_GROUP)) as inquiry:
            committed = inquiry.committed(TRANSACTIONS, sorted(ends))
    except CardwatchError:
        return False
    return all(committed.get(partition, 0) >= end for partition, end in ends.items())


@pytest.fixture(scope="session")
def history() -> Callable[[Settings, date], None]:
    """Waits until the history is archived up to this day."""

    def wait(settings: Settings, last: date) -> None:
        deadline = time.monotonic() + RECOVERY_SECONDS
        with closing(ProgressReader(settings.kafka)) as progress:
            while not (isinstance(record := progress.poll(0.5), DayArchived) and record.day == last):
                assert time.monotonic() < deadline, f"{last} is not archived within {RECOVERY_SECONDS:g} s"

    return wait


@pytest.fixture
def settle(until: Callable[..., float]) -> Callable[[Settings], None]:
    """Waits until everything is decided and archived, after ending a day that is later than all others."""

    def wait(settings: Settings) -> None:
        until("everything decided", lambda: is_all_decided(settings))
        bootstrap = settings.kafka
        ends = [{str(p): end for p, end in end_offsets(bootstrap, topic).items()} for topic in (TRANSACTIONS, LABELS)]
        with closing(ProgressReader(bootstrap)) as progress:
            days = []
            while not progress.caught_up():
                if isinstance(record := progress.poll(0.5), DayEmitted):
                    days.append(record.day)
            day = max(days) + timedelta(days=60)
            publish_progress(
                bootstrap, DayEmitted(day=day, transaction_ends=ends[0], label_ends=ends[1], decided=False)
            )

            def archived() -> bool:
                record = progress.poll(0.5)
                return isinstance(record, DayArchived) and record.day == day

            until(f"{day} archived", archived)

    return wait
