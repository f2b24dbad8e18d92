"""What is measured when a part is killed under traffic, in containers and in the embedded stack alike."""

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

STEADY_SECONDS = 5.0
HEAL_SECONDS = 120.0


class _Decision(Struct):
    latency_ms: float
    degraded: bool = False


class Seen(NamedTuple):
    """A decision and when it was seen, in seconds of a monotonic clock."""

    at: float
    degraded: bool
    latency_ms: float


class Felt(NamedTuple):
    """What became of a kill. Seconds from it until the part is back and the model decides again at the old pace."""

    victim: str
    healed_seconds: float
    longest_silence_seconds: float
    slowest_ms: float
    degraded: int
    decisions: int


class Watcher:
    """Follows the decisions from now on, in a thread, as a client of the log would."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seen: list[Seen] = []
        self._stopping = threading.Event()
        self._start = {(DECISIONS, p): end for p, end in end_offsets(settings.kafka_bootstrap, DECISIONS).items()}
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()

    def since(self, moment: float) -> list[Seen]:
        return [seen for seen in self._seen[:] if seen.at >= moment]

    def is_steady(self, since: float, rate: float) -> bool:
        """Whether the model decides at the rate, all that came in the newest seconds, after that moment."""
        now = time.monotonic()
        if now - since < STEADY_SECONDS:
            return False
        newest = self.since(now - STEADY_SECONDS)
        enough = len(newest) > 0.9 * rate * STEADY_SECONDS
        return enough and not any(seen.degraded for seen in newest) and newest[-1].latency_ms < 1_000.0

    def feel(self, victim: str, kill: Callable[[], None], is_back: Callable[[], bool], rate: float) -> Felt:
        """Kill, wait until it is felt no more, and say what was felt."""
        before = time.monotonic()
        kill()
        back = None
        while not (back is not None and self.is_steady(back, rate)):
            if back is None and is_back():
                back = time.monotonic()
            assert time.monotonic() - before < HEAL_SECONDS, f"{victim}: not healed within {HEAL_SECONDS:g} s"
            time.sleep(0.2)
        seen = self.since(before)
        moments = [before, *(one.at for one in seen)]
        return Felt(
            victim=victim,
            healed_seconds=self._healed_at(back, seen) - before,
            longest_silence_seconds=max(later - earlier for earlier, later in pairwise(moments)),
            slowest_ms=max(one.latency_ms for one in seen),
            degraded=sum(one.degraded for one in seen),
            decisions=len(seen),
        )

    def _healed_at(self, back: float, seen: Sequence[Seen]) -> float:
        """The later of: the part was back; the last decision was made that was degraded or took a second."""
        felt = [one.at for one in seen if one.degraded or one.latency_ms > 1_000.0]
        return max([back, *felt])

    def _follow(self) -> None:
        decode = msgspec.json.Decoder(_Decision).decode
        with LogReader(self._settings.kafka_bootstrap, self._start) as reader:
            while not self._stopping.is_set():
                records = reader.poll(0.1)
                now = time.monotonic()
                decisions = [decode(record.value or b"{}") for record in records]
                self._seen += [Seen(now, decision.degraded, decision.latency_ms) for decision in decisions]


def table_of(felt: Sequence[Felt]) -> str:
    """The figures as a table for people."""
    lines = [f"{'killed':<16}{'healed s':>10}{'silence s':>11}{'slowest ms':>12}{'degraded':>10}{'decisions':>11}"]
    lines += [
        f"{one.victim:<16}{one.healed_seconds:>10.1f}{one.longest_silence_seconds:>11.1f}{one.slowest_ms:>12.0f}"
        f"{one.degraded:>10}{one.decisions:>11}"
        for one in felt
    ]
    return "\n".join(lines)


@pytest.fixture
def watch() -> Iterator[Callable[[Settings], Watcher]]:
    """Starts to watch a system's decisions."""
    watchers: list[Watcher] = []

    def start(settings: Settings) -> Watcher:
        watchers.append(Watcher(settings))
        return watchers[-1]

    yield start
    for watcher in watchers:
        watcher.close()


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[object], None]:
    """Shows text, or figures as a table, whatever pytest does with output."""

    def show(what: object) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{table_of(what) if isinstance(what, list) else what}")
            sys.stdout.flush()

    return show


@pytest.fixture(scope="session")
def until() -> Callable[..., float]:
    """Polls for a state with a deadline; gives after how many seconds it was reached."""

    def wait(what: str, reached: Callable[[], bool], seconds: float = HEAL_SECONDS) -> float:
        begin = time.monotonic()
        while not reached():
            assert time.monotonic() - begin < seconds, f"{what}: not within {seconds:g} s"
            time.sleep(0.25)
        return time.monotonic() - begin

    return wait


def is_all_decided(settings: Settings) -> bool:
    try:
        ends = end_offsets(settings.kafka_bootstrap, TRANSACTIONS)
        with closing(OffsetReader(settings.kafka_bootstrap, STREAM_GROUP)) as inquiry:
            committed = inquiry.committed(TRANSACTIONS, sorted(ends))
    except CardwatchError:
        return False
    return all(committed.get(partition, 0) >= end for partition, end in ends.items())


@pytest.fixture(scope="session")
def history() -> Callable[[Settings, date], None]:
    """Waits until history is archived up to this day."""

    def wait(settings: Settings, last: date) -> None:
        deadline = time.monotonic() + HEAL_SECONDS
        with closing(ProgressReader(settings.kafka_bootstrap)) as progress:
            while not (isinstance(told := progress.poll(0.5), DayArchived) and told.day == last):
                assert time.monotonic() < deadline, f"{last} is not archived within {HEAL_SECONDS:g} s"

    return wait


@pytest.fixture
def settle(until: Callable[..., float]) -> Callable[[Settings], None]:
    """Waits until everything is decided and archived: ends a day as a source does, later than any so far."""

    def wait(settings: Settings) -> None:
        until("everything decided", lambda: is_all_decided(settings))
        bootstrap = settings.kafka_bootstrap
        ends = [{str(p): end for p, end in end_offsets(bootstrap, topic).items()} for topic in (TRANSACTIONS, LABELS)]
        with closing(ProgressReader(bootstrap)) as progress:
            days = []
            while not progress.caught_up():
                if isinstance(told := progress.poll(0.5), DayEmitted):
                    days.append(told.day)
            day = max(days) + timedelta(days=60)
            publish_progress(
                bootstrap, DayEmitted(day=day, transaction_ends=ends[0], label_ends=ends[1], decided=False)
            )

            def archived() -> bool:
                told = progress.poll(0.5)
                return isinstance(told, DayArchived) and told.day == day

            until(f"{day} archived", archived)

    return wait
