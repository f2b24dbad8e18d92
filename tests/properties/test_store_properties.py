"""Any log, any batches, any crash, any store: the states are those of one fold of the log, to the byte."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.aws.dynamodb import create_table
from adapters.feature_store import dynamodb as dynamodb_store
from adapters.feature_store.dynamodb import DynamoDbStore
from adapters.feature_store.lmdb import LmdbStore
from adapters.feature_store.open import OpenStore
from adapters.feature_store.redis import RedisStore
from adapters.feature_store.snapshots import restore_snapshot, write_snapshot
from cardwatch.events import EPOCH, Channel, Transaction
from cardwatch.features.columns import card_index, encode
from cardwatch.features.kernel import fold
from cardwatch.features.log_segment import fold_segment
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.state import empty_states
from cardwatch.records import LogSegment

Opened = Callable[[], OpenStore]
_number = count()


class Batch(NamedTuple):
    """A step of the worker: how many records, and in what number of transactions of the store it dies, if it does."""

    records: int
    dies_after: int | None
    gap_by: int


# A state remembers 16 ids. The log begins with a card that has more than those, and four others, and the first batch is
# long: killed in the middle of it, recognising repeats is not enough. The rest is as it comes.
beginning = [("busy", 40, 0), *((card, 40, 0) for card in "abcd"), *(("busy", 40, second) for second in range(25))]
cards = st.sampled_from(["busy", "busy", "a", "b", "c", "d", "e"])
logs = st.lists(st.tuples(cards, st.integers(0, 40), st.integers(0, 500_000)), max_size=70).map(
    lambda log: [*beginning, *log]
)
deaths = st.sampled_from([1, None, 0, 2, 3])
long_batches = st.builds(Batch, st.integers(25, 60), deaths, st.integers(1, 40))
any_batches = st.lists(st.builds(Batch, st.integers(1, 60), deaths, st.integers(1, 40)), max_size=8)
batches = st.builds(lambda first, others: [first, *others], long_batches, any_batches)


class Killed(BaseException):
    """The process is gone at this point."""


class Mortal:
    """A store whose process dies after so many writes, once it is told to."""

    def __init__(self, store: OpenStore) -> None:
        self.store = store
        self.writes_left: int | None = None

    def write(self, write: Callable[[], None]) -> None:
        if self.writes_left == 0:
            raise Killed
        if self.writes_left is not None:
            self.writes_left -= 1
        write()


class MortalDynamoDb(DynamoDbStore):
    """Dies between two transactions of one batch."""

    mortal: Mortal | None = None

    def _transact(self, items, partition, expected, position):  # type: ignore[no-untyped-def]
        mortal = self.mortal or Mortal(self)
        mortal.write(lambda: DynamoDbStore._transact(self, items, partition, expected, position))


def transactions(log: list[tuple[str, int, int]]) -> list[Transaction]:
    """The second number picks the id, so that some repeat; the third the time, so that many are late."""
    return [
        Transaction(
            transaction_id=f"t-{place}" if pick > 3 else f"repeated-{pick}",
            card_id=card,
            merchant_id=f"m-{pick % 5}",
            occurred_at=EPOCH + timedelta(days=20_000, seconds=second),
            amount_minor=100 + second,
            currency="EUR",
            merchant_category="5411",
            channel=Channel.CHIP,
            country="DE",
        )
        for place, (card, pick, second) in enumerate(log)
    ]


def part_of(log: list[Transaction], start: int, stop: int) -> LogSegment:
    ids, index = card_index([transaction.card_id for transaction in log[start:stop]])
    return LogSegment(stop, ids, index, np.arange(start, stop), encode(log[start:stop]))


def step(mortal: Mortal, log: list[Transaction], begins: int, batch: Batch) -> int:
    """What the worker does with a batch; returns what is committed then. The write may die."""
    part = part_of(log, begins, min(begins + batch.records, len(log)))
    states = mortal.store.load(part.cards)
    fold(states, part.card_index, part.rows, ReferenceTable.empty())
    mortal.writes_left = batch.dies_after
    try:
        apply = mortal.store.apply
        if isinstance(mortal.store, MortalDynamoDb):
            apply(0, expected=begins, position=part.position, card_ids=part.cards, states=states)
        else:
            mortal.write(lambda: apply(0, expected=begins, position=part.position, card_ids=part.cards, states=states))
    except Killed:
        pass
    mortal.writes_left = None
    return part.position


def catch_up(store: OpenStore, log: list[Transaction], committed: int, by: int) -> int:
    begins = store.applied(0)
    while begins < committed:
        part = part_of(log, begins, min(begins + by, committed))
        fold_segment(store, 0, begins, part)
        begins = part.position
    return begins


def check(open_store: Opened, log: list[Transaction], plan: list[Batch]) -> None:
    whole = part_of(log, 0, len(log))
    expected = empty_states(len(whole.cards))
    fold(expected, whole.card_index, whole.rows, ReferenceTable.empty())
    committed = 0
    for batch in plan:
        committed = worked(open_store, log, committed, batch)
    with open_store() as store:
        catch_up(store, log, len(log), 30)
        assert store.applied(0) == len(log)
        assert store.load(whole.cards).tobytes() == expected.tobytes()


def worked(open_store: Opened, log: list[Transaction], committed: int, batch: Batch) -> int:
    """A worker takes over what is committed, does one batch and dies; returns what is committed then."""
    with open_store() as store:
        mortal = Mortal(store)
        if isinstance(store, MortalDynamoDb):
            store.mortal = mortal
        begins = catch_up(store, log, committed, batch.gap_by)
        return step(mortal, log, begins, batch) if begins < len(log) else committed


@settings(max_examples=60, deadline=None)
@given(log=logs, plan=batches)
def test_lmdb_ends_with_the_states_of_one_fold(log: list[tuple[str, int, int]], plan: list[Batch]) -> None:
    with TemporaryDirectory() as folder:
        check(lambda: LmdbStore(Path(folder)), transactions(log), plan)


@settings(max_examples=40, deadline=None)
@given(log=logs, plan=batches)
def test_a_store_restored_from_its_snapshot_after_each_batch_ends_with_the_states_of_one_fold(
    log: list[tuple[str, int, int]], plan: list[Batch]
) -> None:
    with TemporaryDirectory() as name:
        folders = (Path(name) / f"store-{number}" for number in count())
        folder = next(folders)

        def renewed() -> OpenStore:
            nonlocal folder
            old, folder = folder, next(folders)
            snapshot = folder.with_suffix(".snapshot")
            with LmdbStore(old) as store:
                write_snapshot(store, snapshot)
            copy = LmdbStore(folder)
            restore_snapshot(snapshot, copy)
            return copy

        check(renewed, transactions(log), plan)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(log=logs, plan=batches)
def test_redis_ends_with_the_states_of_one_fold(
    redis_url: str, log: list[tuple[str, int, int]], plan: list[Batch]
) -> None:
    url = f"{redis_url}/15"
    with redis.Redis.from_url(url) as server:
        server.flushdb()
    check(lambda: RedisStore(url), transactions(log), plan)


@pytest.fixture
def two_cards_a_transaction() -> Iterator[None]:
    """So that a batch of a few cards takes several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dynamodb_store, "CARDS_PER_TRANSACTION", 2)
        yield


@pytest.mark.usefixtures("two_cards_a_transaction")
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(log=logs, plan=batches)
def test_dynamodb_ends_with_the_states_of_one_fold(
    dynamodb_endpoint: str, log: list[tuple[str, int, int]], plan: list[Batch]
) -> None:
    url = f"dynamodb://property-{next(_number)}?region=eu-central-1&endpoint={dynamodb_endpoint}"
    create_table(url)
    check(lambda: MortalDynamoDb(url), transactions(log), plan)
