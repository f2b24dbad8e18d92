"""The scoring service under load while workers, the feature store or the registry fail."""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from adapters.feature_store.redis import RedisStore
from adapters.runtime.settings import Secret
from adapters.scoring.wire_format import DEADLINE_HEADER
from cardwatch.errors import ScoringUnavailable
from cardwatch.registry import CHAMPION
from tests.integration.scoring_load import (
    BATCH,
    CLIENTS,
    HEALTH_CHECK_SECONDS,
    PAYMENT,
    Detectors,
    Load,
    Mlflow,
    Record,
    Rows,
    Scored,
    Stack,
    Until,
    after,
    expected_margins,
    fill,
    margin_bytes,
    score_payment,
)


def connections(stack: Stack) -> dict[int, int]:
    """Return the number of connections of each worker."""
    port = stack.address[1]
    return {
        pid: sum(
            one.status == "ESTABLISHED" and one.laddr.port == port for one in psutil.Process(pid).net_connections()
        )
        for pid in stack.workers()
    }


def score_over_both_workers(stack: Stack, until: Until, each: int) -> int:
    """Score over connections to both workers, `each` times per connection; return the number of responses."""
    with ExitStack() as held:
        callers: list[httpx.Client] = []

        def reach_both() -> bool:
            callers.append(held.enter_context(stack.connected()))
            assert score_payment(callers[-1]).status == 200
            return len(callers) >= 2 * CLIENTS and min(connections(stack).values()) >= 1

        until(reach_both, "connections to both workers")
        statuses = [score_payment(caller).status for caller in callers for _ in range(each)]
    assert set(statuses) == {200}
    return len(statuses) + len(callers)


def test_a_killed_worker_loses_no_batch_and_is_restarted_and_the_counts_add_up(
    stack: Stack,
    start_scoring: Callable[..., Stack],
    detectors: Detectors,
    versions: tuple[str, str],
    rows: Rows,
    until: Until,
    record_property: Record,
) -> None:
    stack.registry.set_alias(CHAMPION, versions[0])
    stack = start_scoring(scoring_workers=2)
    until(lambda: stack.log.read_text().count(f"champion is version {versions[0]},") == 2, "both workers are ready")

    def counted() -> float:
        return float(stack.metric("cardwatch_scoring_requests_total", path="/v1/score", status="200"))

    asked_before = score_over_both_workers(stack, until, each=5)
    until(lambda: counted() == asked_before, "the counts of both workers")

    batch, load = rows(BATCH, seed=4), Load()
    expected = expected_margins(versions, detectors, batch)
    with load.under(*(load.scoring(stack, batch, expected) for _ in range(2 * CLIENTS))):
        until(lambda: load.done > 100, "load")
        callers = connections(stack)
        killed = max(callers, key=lambda pid: callers[pid])
        os.kill(killed, signal.SIGKILL)
        survivor = next(pid for pid in callers if pid != killed)
        begin = time.monotonic()

        def is_back() -> bool:
            new = set(stack.workers()) - {killed, survivor}
            return len(new) == 1 and stack.log.read_text().count(f"champion is version {versions[0]},") == 3

        until(is_back, "a new worker that serves")
        seconds = time.monotonic() - begin
        at_that_time = load.done
        until(lambda: load.done > at_that_time + 100, "load")
    assert load.failed == []
    assert survivor in stack.workers()
    record_property("callers_of_the_killed_worker", callers[killed])
    record_property("batches", load.done)
    record_property("failed_batches", len(load.failed))
    record_property("longest_ms", round(1e3 * max(load.seconds), 1))
    record_property("seconds_until_back", round(seconds, 1))

    asked_since = score_over_both_workers(stack, until, each=5)
    until(lambda: counted() == asked_before + asked_since, "the counts of all three workers")
    stack.registry.set_alias(CHAMPION, versions[1])
    until(
        lambda: stack.metric("cardwatch_scoring_model_version", role="champion") == float(versions[1]),
        "that no worker serves the old model, also none that is dead",
        seconds=10.0,
    )


def test_a_deleted_store_degrades_previews_until_there_is_a_new_one(
    stack: Stack, detectors: Detectors, versions: tuple[str, str], until: Until, record_property: Record
) -> None:
    stack.make_champion(versions[0])
    shutil.rmtree(stack.settings.store, ignore_errors=True)
    with stack.store() as store:
        fill(store, payments=2)
    load = Load()

    def is_complete(answer: Scored) -> bool:
        """With the card's state by the model, or without it by the rules, and then it says why."""
        if answer.sequence is None:
            reason = answer.body["degraded_reason"]
            return answer.status == 200 and answer.body["degraded"] and "the feature store" in reason
        margin = detectors[0].detector.margins(after(answer.sequence)[1]).tobytes()
        return answer.status == 200 and not answer.body["degraded"] and margin_bytes(answer) == margin

    def sees(sequence: int | None) -> Callable[[], bool]:
        return lambda: bool(load.answers) and load.answers[-1].sequence == sequence

    with load.under(load.previews(stack, is_complete), load.previews(stack, is_complete)):
        until(sees(2), "the state")
        shutil.rmtree(stack.settings.store)
        noticed = until(sees(None), "that the store is gone")
        with stack.store() as store:
            fill(store, payments=3)
        healed = until(sees(3), "the state in the new store")
    assert load.failed == []
    numbers = [answer.sequence for answer in load.answers]
    assert set(numbers) <= {0, 2, 3, None}  # 0: the new store is there and still empty
    record_property("questions", len(load.answers))
    record_property("degraded", numbers.count(None))
    record_property("seconds_until_noticed", round(noticed, 2))
    record_property("seconds_until_healed", round(healed, 2))
    record_property("longest_ms", round(1e3 * max(load.seconds), 1))


DEADLINE_MS = 300
SLACK_SECONDS = 0.5
"""Tolerance for other load of the machine."""


def test_a_hanging_or_dead_store_server_delays_no_request_beyond_the_deadline_and_recovers(
    stack: Stack,
    start_scoring: Callable[..., Stack],
    start_redis: Callable[..., Any],
    versions: tuple[str, str],
    until: Until,
    tmp_path: Path,
    record_property: Record,
) -> None:
    stack.registry.set_alias(CHAMPION, versions[0])
    durable = ("--appendonly", "yes", "--appendfsync", "always")
    url, process = start_redis(*durable, folder=tmp_path)
    with RedisStore(url) as store:
        fill(store, payments=2)
    stack = start_scoring(store_url=Secret(url))

    with stack.connected() as http, ThreadPoolExecutor(CLIENTS) as clients:

        def sees_the_state() -> bool:
            answer = score_payment(http)
            return (answer.status, answer.sequence) == (200, 2) and not answer.body["degraded"]

        def rounds(count: int) -> list[Scored]:
            """Questions of several clients, and between them others that have nothing to do with the store."""
            answers, alive = [], []
            for _ in range(count):
                waiting = [
                    clients.submit(score_payment, http, **{DEADLINE_HEADER: str(DEADLINE_MS)}) for _ in range(CLIENTS)
                ]
                while not all(one.done() for one in waiting):
                    begin = time.perf_counter()
                    assert http.get("/livez").status_code == 200
                    alive.append(time.perf_counter() - begin)
                    time.sleep(0.01)
                answers += [one.result() for one in waiting]
            for answer in answers:
                assert answer.seconds < DEADLINE_MS / 1e3 + SLACK_SECONDS
                if answer.status == 200:
                    assert (answer.body["degraded"], answer.sequence) == (True, None)
                    assert "the feature store" in answer.body["degraded_reason"]
                else:
                    assert (answer.status, answer.retry_after) == (503, "1")
            assert statistics.quantiles(alive, n=20)[-1] < HEALTH_CHECK_SECONDS
            return answers

        until(sees_the_state, "the state")
        process.send_signal(signal.SIGSTOP)
        hanging = rounds(10)
        process.send_signal(signal.SIGCONT)
        record_property("seconds_until_healed_after_hanging", round(until(sees_the_state, "the state again"), 2))

        process.kill()
        process.wait(timeout=10)
        dead = rounds(5)
        start_redis(*durable, folder=tmp_path, port=int(url.rsplit(":", 1)[1]))
        record_property("seconds_until_healed_after_death", round(until(sees_the_state, "the state again"), 2))
    for name, answers in (("hanging", hanging), ("dead", dead)):
        record_property(f"answers_while_{name}", str(dict(Counter(answer.status for answer in answers))))
        record_property(f"longest_ms_while_{name}", round(1e3 * max(answer.seconds for answer in answers)))


def test_without_the_registry_scoring_continues_and_starts_with_the_cached_champion(
    *,
    stack: Stack,
    start_scoring: Callable[..., Stack],
    mlflow: Mlflow,
    detectors: Detectors,
    versions: tuple[str, str],
    rows: Rows,
    until: Until,
    tmp_path: Path,
    record_property: Record,
) -> None:
    stack.make_champion(versions[0])
    margins = [fitted.detector.margins(rows(5)).tobytes() for fitted in detectors]
    kept = (stack.settings.home / "models" / "champion.msgpack").read_bytes()
    damaged = bytearray(kept)
    damaged[kept.index(b"version") + len("version") + 1] ^= 1  # the version's number: the files are as they were
    for name, content in (("kept", kept), ("damaged", damaged)):
        (tmp_path / name / "models").mkdir(parents=True)
        (tmp_path / name / "models" / "champion.msgpack").write_bytes(content)

    def scores(one: Stack) -> tuple[str, bytes]:
        found = one.score(rows(5))
        return found.model_version, found.margins.tobytes()

    mlflow.stop()
    begin = time.monotonic()
    with_cache = start_scoring(home=tmp_path / "kept", wait=False)
    with_damaged = start_scoring(home=tmp_path / "damaged")
    until(lambda: with_cache.status("/livez") == 200, "the other one answers")

    away = f"the model registry at {mlflow.url} does not answer"
    until(lambda: away in str(stack.get("/readyz").json()["problem"]), "that the registry is away is seen")
    assert stack.get("/readyz").status_code == 200
    assert scores(stack) == (versions[0], margins[0])

    ready = with_cache.get("/readyz")
    assert (ready.status_code, ready.json()["version"]) == (200, versions[0])
    assert away in ready.json()["problem"]
    # Of the first query only; the next one, on a busy machine before `ready` was asked for, gives a shorter reason.
    assert f"serving version {versions[0]}, the newest champion that was kept on disk" in with_cache.log.read_text()
    assert scores(with_cache) == (versions[0], margins[0])

    ready = with_damaged.get("/readyz")
    assert ready.status_code == 503
    assert away in ready.json()["error"]
    assert "champion.msgpack cannot be used: its bytes have changed" in ready.json()["error"]
    with pytest.raises(ScoringUnavailable, match="answered 503: no champion"):
        scores(with_damaged)
    answer = with_damaged.post("/v1/score", PAYMENT)
    assert answer.status_code == 200
    assert (answer.json()["degraded"], answer.json()["margin"], answer.json()["action"]) == (True, None, "approve")
    assert "its bytes have changed" in answer.json()["degraded_reason"]

    mlflow.start()
    record_property("seconds_without_registry", round(time.monotonic() - begin, 1))
    until(lambda: with_damaged.status("/readyz") == 200, "it serves")
    assert scores(with_damaged) == (versions[0], margins[0])
    stack.registry.set_alias(CHAMPION, versions[1])
    for one in (stack, with_cache, with_damaged):
        followed = until(lambda one=one: scores(one) == (versions[1], margins[1]), "the next promotion is followed")
        assert one.get("/readyz").json()["problem"] is None
    record_property("seconds_until_followed", round(followed, 1))
