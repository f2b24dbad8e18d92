"""A feature store on another machine that hangs or fails."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from adapters.scoring.wire_format import (
    DEADLINE_HEADER,
)
from cardwatch.errors import StoreUnavailable
from cardwatch.features.state import empty_states
from services.scoring.api.card_states import BACKOFF_SECONDS, CardStateReader
from services.scoring.http.admission import MAX_PENDING_REMOTE
from tests.unit.services.scoring.worker import (
    FIRST,
    Clock,
    Reply,
    Service,
)


class HangingStore:
    """A store that does not respond until `go` is set."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def load(self, card_ids: Sequence[str]) -> Any:
        self.go.wait(30.0)
        return empty_states(len(card_ids))

    def close(self) -> None:
        pass


def test_a_hanging_store_delays_only_its_callers_and_only_until_the_deadline(service: Service) -> None:
    store = HangingStore()
    service.use_states(CardStateReader(lambda: store, None, time.monotonic))  # type: ignore[arg-type, return-value]

    async def ask() -> tuple[float, list[Reply]]:
        headers = {DEADLINE_HEADER: "200"}
        waiting = [
            asyncio.create_task(service.request_async("POST", "/v1/score", FIRST, **headers))
            for _ in range(MAX_PENDING_REMOTE + 1)
        ]
        await asyncio.sleep(0)
        begin = time.perf_counter()
        alive = await service.request_async("GET", "/livez")
        seconds = time.perf_counter() - begin
        assert alive.status == 200
        assert not any(task.done() for task in waiting[:-1])
        return seconds, await asyncio.gather(*waiting)

    begin = time.perf_counter()
    try:
        seconds, replies = asyncio.run(ask())
    finally:
        store.go.set()
    assert seconds < 0.1
    assert time.perf_counter() - begin < 2.0
    assert {(reply.status, reply.headers[b"retry-after"]) for reply in replies} == {(503, b"1")}
    assert Counter(reply.json["error"] for reply in replies) == {
        "busy: there is no answer within 200 ms": MAX_PENDING_REMOTE,
        f"busy: {MAX_PENDING_REMOTE} requests are waiting": 1,
    }


class FailingStore:
    """A store that fails after four seconds, and counts the calls."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.asked = clock, 0

    def load(self, card_ids: Sequence[str]) -> Any:
        self.asked += 1
        self.clock.now += 4.0
        raise StoreUnavailable("no answer within 4 s")


def test_the_cooldown_of_a_failing_store_starts_when_the_failure_is_known() -> None:
    clock = Clock()
    store = FailingStore(clock)
    states = CardStateReader(lambda: store, None, clock)  # type: ignore[arg-type, return-value]
    for seconds, asked in ((0.0, 1), (0.9 * BACKOFF_SECONDS, 1), (0.2 * BACKOFF_SECONDS, 2)):
        clock.now += seconds
        with pytest.raises(StoreUnavailable, match="no answer within 4 s"):
            states.load(["card"])
        assert store.asked == asked
