"""A batch is prepared while the one before is committed: what may overlap, and what is discarded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event, Thread, Timer
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from adapters.feature_store.lmdb import LmdbStore
from cardwatch.errors import Superseded
from cardwatch.events import Transaction, encode
from cardwatch.partitioning import UNCHECKED
from cardwatch.ports import Scores
from cardwatch.records import Outgoing
from services.stream.recovery import fold_records
from tests.unit.services.stream.memory_log import (
    HalfOfAmount,
    MemoryLog,
    log_of,
    payment,
    recorded_features,
    replayed,
    worker,
)


def test_a_worker_whose_partition_was_taken_over_between_commit_and_write_changes_nothing(tmp_path: Path) -> None:
    transactions = [payment(number) for number in range(6)]
    log = log_of(transactions)
    with LmdbStore(tmp_path / "store") as store:
        sleeper = worker(tmp_path, store)
        sleeper.assign_partitions(log, [0])

        class Interrupting(MemoryLog):
            """Between the sleeper's commit and its write, another worker takes the partition and continues."""

            def commit(self, outgoing: Sequence[Outgoing], positions: Mapping[int, int]) -> None:
                log.commit(outgoing, positions)
                other = worker(tmp_path, store)
                other.assign_partitions(log, [0])
                other.process_batch(log, {0: log.records[3:]})
                other.settle()

        sleeper.process_batch(Interrupting([], []), {0: log.records[:3]})
        with pytest.raises(Superseded, match="another worker has written since"):
            sleeper.settle()
        assert store.applied(0) == 6
        assert store.cards() == replayed(transactions)[1]
        assert len(log.decisions()) == 6


class SlowCommit(MemoryLog):
    """A commit reaches the broker only when `release` is set. Logs what it is asked to commit."""

    def __init__(self, values: Sequence[bytes], keys: Sequence[bytes]) -> None:
        super().__init__(values, keys)
        self.release, self.asked_once, self.asked = Event(), Event(), []

    def commit(self, outgoing: Sequence[Outgoing], positions: Mapping[int, int]) -> None:
        self.asked.append(positions[0])
        self.asked_once.set()
        assert self.release.wait(30.0)
        super().commit(outgoing, positions)


def slow_log(transactions: Sequence[Transaction]) -> SlowCommit:
    return SlowCommit([encode(t) for t in transactions], [t.card_id.encode() for t in transactions])


def test_a_batch_is_scored_while_the_one_before_commits_and_is_written_only_after_it(tmp_path: Path) -> None:
    log = slow_log([payment(number, card_id="one") for number in range(6)])
    scorer, scored, finished = HalfOfAmount(), Event(), Event()
    original = scorer.score

    def score(rows: NDArray[np.float32], reasons_above: NDArray[np.float64], **named: Any) -> Scores:
        scores = original(rows, reasons_above, **named)
        if len(scorer.reasons_above) == 6:
            scored.set()  # the second batch, while the first commits
        return scores

    scorer.score = score  # type: ignore[method-assign, assignment]

    def work() -> None:
        with LmdbStore(tmp_path / "store") as store:
            stream = worker(tmp_path, store, scorer)
            stream.assign_partitions(log, [0])
            stream.process_batch(log, {0: log.records[:3]})
            stream.process_batch(log, {0: log.records[3:]})
            stream.settle()
        finished.set()

    thread = Thread(target=work, daemon=True)
    thread.start()
    assert scored.wait(30.0)
    assert log.asked_once.wait(30.0)
    assert log.asked == [3]  # the second transaction has not begun
    assert log.written == []
    log.release.set()
    assert finished.wait(30.0)
    assert [decision.sequence for decision in log.decisions()] == list(range(6))


def test_after_a_small_batch_the_worker_waits_for_the_commit(tmp_path: Path) -> None:
    log = log_of([payment(number) for number in range(5)])
    with LmdbStore(tmp_path / "store") as store:
        stream = worker(tmp_path, store, overlap_from=3)
        stream.assign_partitions(log, [0])
        stream.process_batch(log, {0: log.records[:2]})
        assert (log.position, store.applied(0)) == (2, 2)
        stream.process_batch(log, {0: log.records[2:]})
        stream.settle()
        assert (log.position, store.applied(0)) == (5, 5)


@pytest.mark.parametrize("failure", ["fenced", "refused"])
def test_the_batch_after_one_that_fails_is_discarded_and_decided_again(tmp_path: Path, failure: str) -> None:
    transactions = [payment(number, card_id="one") for number in range(6)]
    log = log_of(transactions)
    with LmdbStore(tmp_path / "store") as store:
        stream = worker(tmp_path, store)
        stream.assign_partitions(log, [0])
        if failure == "fenced":
            log.dies = "fenced"
        else:
            log.after_commit = lambda: fold_records(store, UNCHECKED, 0, 0, log.records[:3])  # another worker's write
        stream.process_batch(log, {0: log.records[:3]})
        with pytest.raises(Superseded):
            stream.process_batch(log, {0: log.records[3:]})
        assert len(log.decisions()) == (0 if failure == "fenced" else 3)
        stream.revoke_all_partitions()
        start = stream.assign_partitions(log, [0])[0]
        assert start == (0 if failure == "fenced" else 3)
        stream.process_batch(log, {0: log.records[start:]})
        stream.settle()
        assert store.cards() == replayed(transactions)[1]
    assert [decision.offset for decision in log.decisions()] == list(range(6))
    assert recorded_features(log) == replayed(transactions)[0]


def test_a_partition_that_returns_after_another_worker_had_it_is_folded_over_the_other_workers_states(
    tmp_path: Path,
) -> None:
    transactions = [payment(number, card_id="one") for number in range(9)]
    log = log_of(transactions)
    with LmdbStore(tmp_path / "store") as store:
        first, second = worker(tmp_path, store), worker(tmp_path, store)
        for stream, begin in ((first, 0), (second, 3), (first, 6)):
            assert stream.assign_partitions(log, [0]) == {0: begin}
            stream.process_batch(log, {0: log.records[begin : begin + 3]})
            stream.revoke_partitions([0])
        assert store.cards() == replayed(transactions)[1]
    assert recorded_features(log) == replayed(transactions)[0]


def test_revoking_a_partition_waits_for_the_commit_of_its_records(tmp_path: Path) -> None:
    log = slow_log([payment(number) for number in range(3)])
    with LmdbStore(tmp_path / "store") as store:
        stream = worker(tmp_path, store)
        stream.assign_partitions(log, [0])
        stream.process_batch(log, {0: log.records})
        Timer(0.2, log.release.set).start()
        stream.revoke_partitions([0])
        assert (log.position, store.applied(0)) == (3, 3)
