"""A worker that is held between commit and apply, and killed there: nothing is decided twice, and the gap is folded."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from adapters.feature_store.lmdb import LmdbStore
from tests.unit.services.stream.memory_log import log_of, payment, replayed, worker


class Killed(BaseException):
    """Ends a worker where it stands."""


def test_every_step_is_announced_in_the_commit_order(tmp_path: Path) -> None:
    seen: list[str] = []
    log = log_of([payment(number) for number in range(3)])
    with LmdbStore(tmp_path / "store") as store:
        held = worker(tmp_path, store, before_step=seen.append)
        held.assign_partitions(log, [0])
        held.process_batch(log, {0: log.records})
        held.settle()
    assert seen == ["fold", "score", "policy", "wait", "commit", "apply"]


def test_a_worker_killed_before_apply_leaves_decisions_that_the_next_one_folds_and_counts(tmp_path: Path) -> None:
    transactions = [payment(number) for number in range(4)]
    log = log_of(transactions)

    def kill_before_apply(step: str) -> None:
        if step == "apply":
            raise Killed

    with LmdbStore(tmp_path / "store") as store:
        killed = worker(tmp_path, store, before_step=kill_before_apply)
        killed.assign_partitions(log, [0])
        with pytest.raises(Killed):
            killed.process_batch(log, {0: log.records})
            killed.settle()
        assert (len(log.decisions()), store.applied(0)) == (4, 0)

        registry = CollectorRegistry()
        next_one = worker(tmp_path, store, counted=registry)
        next_one.assign_partitions(log, [0])
        assert registry.get_sample_value("cardwatch_stream_refolded_records_total", {"partition": "0"}) == 4.0
        assert (len(log.decisions()), store.applied(0)) == (4, 4)
        assert store.cards() == replayed(transactions)[1]
