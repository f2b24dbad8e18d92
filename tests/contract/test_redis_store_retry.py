"""A batch whose answer from Redis is lost: it is written once, and a writer that is stale is refused all the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import redis

from adapters.feature_store.redis import RedisStore
from cardwatch.errors import StaleWriter, StoreUnavailable
from cardwatch.features.state import STATE

WRITTEN = np.frombuffer(bytearray(np.random.default_rng(0).bytes(STATE.itemsize)), STATE)


@pytest.fixture
def store(redis_url: str) -> Iterator[RedisStore]:
    with redis.Redis.from_url(f"{redis_url}/15") as server:
        server.flushdb()
    with RedisStore(f"{redis_url}/15") as store:
        yield store


def lose_answers(store: RedisStore, monkeypatch: pytest.MonkeyPatch, *, times: int, between: Any = None) -> None:
    """Let the server execute the script, and lose its answer, for the next so many attempts."""
    execute, lost = store._apply, iter(range(times))

    def without_answer(keys: list[bytes], values: list[Any]) -> Any:
        answer = execute(keys, values)
        if next(lost, None) is None:
            return answer
        if between is not None:
            between()
        raise redis.TimeoutError("Timeout reading from socket")

    monkeypatch.setattr(store, "_apply", without_answer)


def test_a_batch_whose_answer_was_lost_is_written_and_its_writer_goes_on(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_answers(store, monkeypatch, times=1)
    store.apply(3, expected=0, position=10, card_ids=["a"], states=WRITTEN)
    assert store.applied(3) == 10
    assert store.load(["a"]).tobytes() == WRITTEN.tobytes()
    store.apply(3, expected=10, position=12, card_ids=[], states=WRITTEN[:0])
    assert store.applied(3) == 12


def test_a_writer_whose_answer_was_lost_is_refused_if_another_one_has_gone_on(
    store: RedisStore, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another_goes_on() -> None:
        with RedisStore(f"{redis_url}/15") as other:
            other.apply(3, expected=10, position=25, card_ids=[], states=WRITTEN[:0])

    lose_answers(store, monkeypatch, times=1, between=another_goes_on)
    with pytest.raises(StaleWriter, match="began at offset 0, but the store is at 25"):
        store.apply(3, expected=0, position=10, card_ids=["a"], states=WRITTEN)


def test_a_first_answer_that_says_stale_is_believed(store: RedisStore) -> None:
    store.apply(3, expected=0, position=10, card_ids=["a"], states=WRITTEN)
    with pytest.raises(StaleWriter, match="began at offset 0, but the store is at 10"):
        store.apply(3, expected=0, position=10, card_ids=["a"], states=WRITTEN)


def test_a_server_that_answers_no_attempt_is_unavailable(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    lose_answers(store, monkeypatch, times=2)
    with pytest.raises(StoreUnavailable, match="does not answer: Timeout reading from socket"):
        store.apply(3, expected=0, position=10, card_ids=["a"], states=WRITTEN)
