"""The scoring service while something around it fails: models, workers, store and registry, under load."""

from __future__ import annotations

import os
import re
import shutil
import signal
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from adapters.feature_store.redis import RedisStore
from adapters.runtime.settings import Secret
from adapters.scoring.wire_format import DEADLINE_HEADER
from cardwatch.detector.detector import FACTS_FILE, TREES_FILE
from cardwatch.detector.trees.flat import NODE, FlatTrees
from cardwatch.errors import ScoringUnavailable
from cardwatch.events import Channel, Transaction, encode
from cardwatch.features.columns import encode as kernel_rows
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.features.kernel import fold
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.state import empty_states
from cardwatch.ports import FeatureStore, StateArray
from cardwatch.registry import CHALLENGER, CHAMPION
from models.training import FittedDetector

CARD = "card-of-the-faults"
SWAPS, CLIENTS, BATCH = 20, 4, 64
AT_ONCE_SECONDS = 0.1

Detectors = tuple[FittedDetector, FittedDetector]
Record = Callable[[str, object], None]
Rows = Callable[..., NDArray[np.float32]]
Until = Callable[..., float]
Stack = Any
Mlflow = Any


def payment(number: int) -> Transaction:
    return Transaction(
        transaction_id=f"t-{number}",
        card_id=CARD,
        merchant_id="merchant-1",
        occurred_at=datetime(2030, 1, 5, 12, tzinfo=UTC) + timedelta(hours=number),
        amount_minor=5_000 + number,
        currency="EUR",
        merchant_category="5411",
        channel=Channel.CHIP,
        country="DE",
    )


QUESTION = encode(payment(99))


def after(payments: int) -> tuple[StateArray, NDArray[np.float32]]:
    """The card's state after so many payments, and what the question's features are then."""
    states = empty_states(1)
    if payments:
        history = kernel_rows([payment(number) for number in range(payments)])
        fold(states, np.zeros(payments, np.int64), history, ReferenceTable.empty())
    copy = states.copy()
    return states, fold(copy, np.zeros(1, np.int64), kernel_rows([payment(99)]), ReferenceTable.empty()).features


def fill(store: FeatureStore, payments: int) -> None:
    """Let the store hold the card as it is after so many payments."""
    store.apply(0, expected=store.applied(0), position=payments, card_ids=[CARD], states=after(payments)[0])


class Answered(NamedTuple):
    """One answer to the question, and how long it took."""

    status: int
    body: dict[str, Any]
    retry_after: str | None
    seconds: float

    @property
    def sequence(self) -> int | None:
        return self.body.get("sequence")


class Load:
    """Clients in threads for as long as `under` lasts, and what they were told.

    `answers`: to questions. `batches`: per client of rows the version of each answer. `failed`: what went wrong.
    """

    def __init__(self) -> None:
        self.answers: list[Answered] = []
        self.batches: list[list[str]] = []
        self.seconds: list[float] = []
        self.failed: list[str] = []
        self._stop = threading.Event()
        self._clients = ExitStack()

    @property
    def done(self) -> int:
        """How many batches were scored."""
        return sum(map(len, self.batches))

    @contextmanager
    def under(self, *callers: Callable[[], None]) -> Iterator[None]:
        def repeat(call: Callable[[], None]) -> None:
            while not self._stop.is_set():
                try:
                    call()
                except Exception as error:
                    self.failed.append(repr(error))

        threads = [threading.Thread(target=repeat, args=(caller,)) for caller in callers]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
            self._clients.close()

    def scoring(self, stack: Stack, asked: NDArray[np.float32], expected: dict[str, bytes]) -> Callable[[], None]:
        """A client like the stream worker: it complains if an answer is not all of the model that it names."""
        scorer, versions = self._clients.enter_context(stack.client()), list[str]()
        self.batches.append(versions)

        def call() -> None:
            begin = time.perf_counter()
            scores = scorer.score(asked, np.full(len(asked), np.inf), schema_hash=SCHEMA_HASH)
            self.seconds.append(time.perf_counter() - begin)
            versions.append(scores.model_version)
            if scores.margins.tobytes() != expected[scores.model_version]:
                self.failed.append(f"margins that are not those of version {scores.model_version}")

        return call

    def asking(self, stack: Stack, check: Callable[[Answered], bool] = lambda _: True) -> Callable[[], None]:
        """A client of `/v1/score` that keeps its connection, and all that it was told."""
        http = self._clients.enter_context(stack.connected())

        def call() -> None:
            answer = asked(http)
            self.answers.append(answer)
            self.seconds.append(answer.seconds)
            if not check(answer):
                self.failed.append(f"{answer.status}: {answer.body}")

        return call


def asked(http: httpx.Client, **headers: str) -> Answered:
    begin = time.perf_counter()
    response = http.post("/v1/score", content=QUESTION, headers=headers)
    seconds = time.perf_counter() - begin
    return Answered(response.status_code, response.json(), response.headers.get("retry-after"), seconds)


def expected_margins(
    versions: Sequence[str], detectors: Sequence[FittedDetector], rows: NDArray[np.float32]
) -> dict[str, Any]:
    margins = [fitted.detector.margins(rows).tobytes() for fitted in detectors]
    assert len(set(margins)) == len(margins)
    return dict(zip(versions, margins, strict=True))


def margin_bytes(answer: Answered) -> bytes:
    return np.float32(answer.body["margin"]).tobytes()


@pytest.fixture(scope="module")
def versions(mlflow: Mlflow, detectors: Detectors, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The two detectors as registered versions, whoever is champion."""
    folder = tmp_path_factory.mktemp("versions")
    return mlflow.register(detectors[0], folder / "0"), mlflow.register(detectors[1], folder / "1")


# Swaps


def test_of_twenty_swaps_under_load_no_request_fails_and_no_answer_mixes_two_models(
    stack: Stack, detectors: Detectors, versions: tuple[str, str], rows: Rows, until: Until, record_property: Record
) -> None:
    stack.make_champion(versions[0])
    batch = rows(BATCH, seed=9)
    of_batch = expected_margins(versions, detectors, batch)
    of_question = expected_margins(versions, detectors, after(0)[1])
    load = Load()

    def is_of_one_model(answer: Answered) -> bool:
        return answer.status == 200 and margin_bytes(answer) == of_question[answer.body["model_version"]]

    def versions_told() -> list[list[str]]:
        return [*load.batches, [answer.body.get("model_version", "none") for answer in load.answers]]

    clients = [load.scoring(stack, batch, of_batch) for _ in range(CLIENTS)]
    with load.under(*clients, load.asking(stack, is_of_one_model)):
        until(lambda: all(versions_told()), "answers by the first one")
        for swap in range(1, SWAPS + 1):
            new = versions[swap % 2]
            stack.registry.set_alias(CHAMPION, new)
            stack.post("/v1/reload")

            def is_taken(new: str = new) -> bool:
                return {told[-1] for told in versions_told()} == {new}

            until(is_taken, f"swap {swap} is seen by all")
    assert load.failed == []
    for told in versions_told():
        assert sum(one != next_one for one, next_one in pairwise(told)) == SWAPS  # never back to the former one
    requests = load.done + len(load.answers)
    record_property("swaps", SWAPS)
    record_property("requests", requests)
    record_property("longest_ms", round(1e3 * max(load.seconds), 1))
    record_property("median_ms", round(1e3 * statistics.median(load.seconds), 2))


# The challenger


@pytest.fixture
def duel(stack: Stack, versions: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """The champion's version and another one; afterwards nobody is challenger."""
    stack.make_champion(versions[0])
    yield versions
    stack.mlflow.drop_challenger()


def test_the_challenger_scores_the_same_rows_in_the_shadow_until_it_is_the_champion(
    stack: Stack, detectors: Detectors, duel: tuple[str, str], rows: Rows
) -> None:
    champion, challenger = duel
    batch = rows(BATCH, seed=3)
    margins = [fitted.detector.margins(batch) for fitted in detectors]
    assert stack.score(batch).shadow is None

    stack.registry.set_alias(CHALLENGER, challenger)
    assert stack.post("/v1/reload").json()["challenger"] == challenger
    scores = stack.score(batch)
    assert (scores.model_version, scores.margins.tobytes()) == (champion, margins[0].tobytes())
    assert (scores.shadow.model_version, scores.shadow.margins.tobytes()) == (challenger, margins[1].tobytes())
    assert scores.shadow.probabilities.tobytes() == detectors[1].detector.probabilities(margins[1]).tobytes()
    assert scores.shadow.model_digest == stack.registry.version(challenger).digest

    stack.registry.set_alias(CHAMPION, challenger)
    assert stack.post("/v1/reload").json()["version"] == challenger
    scores = stack.score(batch)
    assert (scores.model_version, scores.margins.tobytes()) == (challenger, margins[1].tobytes())
    assert scores.shadow is None

    stack.registry.set_alias(CHALLENGER, champion)
    stack.post("/v1/reload")
    assert stack.score(batch).shadow.margins.tobytes() == margins[0].tobytes()


# Models that must not answer


def random_trees(files: dict[str, bytes]) -> dict[str, bytes]:
    return {**files, TREES_FILE: np.random.default_rng(1).bytes(len(files[TREES_FILE]))}


def trees_with_invalid_pointers(files: dict[str, bytes]) -> dict[str, bytes]:
    """A file whose form is sound; the first split goes to a node far behind the last one."""
    trees = FlatTrees.from_bytes(files[TREES_FILE])
    nodes = np.array(trees.nodes, NODE)
    nodes["left"][0] = 2**30
    return {**files, TREES_FILE: trees._replace(nodes=nodes).to_bytes()}


def a_calibration_that_falls(files: dict[str, bytes]) -> dict[str, bytes]:
    facts = msgspec.json.decode(files[FACTS_FILE])
    facts["calibration"]["probabilities"].reverse()
    return {**files, FACTS_FILE: msgspec.json.encode(facts)}


def facts_nested_too_deeply(files: dict[str, bytes]) -> dict[str, bytes]:
    return {**files, FACTS_FILE: b'{"comment":' + b"[" * 100_000 + b"]" * 100_000 + b"}"}


def no_trees(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if name != TREES_FILE}


def another_schema(files: dict[str, bytes]) -> dict[str, bytes]:
    facts = msgspec.json.decode(files[FACTS_FILE])
    return {**files, FACTS_FILE: msgspec.json.encode({**facts, "schema_hash": "0123456789abcdef"})}


POISONS = [
    (random_trees, "the flat trees cannot be read"),
    (trees_with_invalid_pointers, "node 0 of the flat trees is invalid"),
    (a_calibration_that_falls, "detector.json cannot be read: a calibration table must rise"),
    (facts_nested_too_deeply, "detector.json cannot be read: maximum recursion depth"),
    (no_trees, f"the detector has no {TREES_FILE}"),
    (another_schema, f"the model needs features of schema 0123456789abcdef, this code computes {SCHEMA_HASH}"),
]


@pytest.mark.parametrize(("poison", "reason"), POISONS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_poisoned_model_with_the_right_digest_is_refused_in_every_role_and_nothing_else_changes(
    stack: Stack,
    detectors: Detectors,
    duel: tuple[str, str],
    rows: Rows,
    poison: Callable[[dict[str, bytes]], dict[str, bytes]],
    reason: str,
    tmp_path: Path,
) -> None:
    champion, _ = duel
    poisoned = stack.mlflow.register(poison(detectors[1].files), tmp_path / "poisoned")
    workers = stack.workers()
    expected = detectors[0].detector.margins(rows(5)).tobytes()

    stack.registry.set_alias(CHALLENGER, poisoned)
    status = stack.post("/v1/reload").json()
    assert (status["version"], status["challenger"], status["refused"]) == (champion, None, None)
    assert status["challenger_refused"]["version"] == poisoned
    assert re.search(reason, status["challenger_refused"]["reason"])
    scores = stack.score(rows(5))
    assert (scores.model_version, scores.margins.tobytes(), scores.shadow) == (champion, expected, None)

    stack.registry.set_alias(CHAMPION, poisoned)
    status = stack.post("/v1/reload").json()
    assert (status["version"], status["refused"]["version"]) == (champion, poisoned)
    assert re.search(reason, status["refused"]["reason"])
    ready = stack.get("/readyz")
    assert (ready.status_code, ready.json()["version"], ready.json()["refused"]["version"]) == (200, champion, poisoned)
    assert stack.score(rows(5)).margins.tobytes() == expected
    assert stack.workers() == workers


# Workers


def connections(stack: Stack) -> dict[int, int]:
    """How many callers each worker is connected to."""
    port = stack.address[1]
    return {
        pid: sum(
            one.status == "ESTABLISHED" and one.laddr.port == port for one in psutil.Process(pid).net_connections()
        )
        for pid in stack.workers()
    }


def ask_over_both_workers(stack: Stack, until: Until, each: int) -> int:
    """Ask over connections that do not all lead to one worker, each so many times; gives how many answers came."""
    with ExitStack() as held:
        callers: list[httpx.Client] = []

        def reach_both() -> bool:
            callers.append(held.enter_context(stack.connected()))
            assert asked(callers[-1]).status == 200
            return len(callers) >= 2 * CLIENTS and min(connections(stack).values()) >= 1

        until(reach_both, "connections to both workers")
        statuses = [asked(caller).status for caller in callers for _ in range(each)]
    assert set(statuses) == {200}
    return len(statuses) + len(callers)


def test_a_killed_worker_costs_no_batch_and_is_back_and_the_counts_of_all_add_up(
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

    asked_before = ask_over_both_workers(stack, until, each=5)
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

    asked_since = ask_over_both_workers(stack, until, each=5)
    until(lambda: counted() == asked_before + asked_since, "the counts of all three workers")
    stack.registry.set_alias(CHAMPION, versions[1])
    until(
        lambda: stack.metric("cardwatch_scoring_model_version", role="champion") == float(versions[1]),
        "that no worker serves the old model, also none that is dead",
        seconds=10.0,
    )


# The store


def test_a_store_that_is_lost_under_load_degrades_answers_until_there_is_a_new_one(
    stack: Stack, detectors: Detectors, versions: tuple[str, str], until: Until, record_property: Record
) -> None:
    stack.make_champion(versions[0])
    shutil.rmtree(stack.settings.store, ignore_errors=True)
    with stack.store() as store:
        fill(store, payments=2)
    load = Load()

    def is_complete(answer: Answered) -> bool:
        """With the card's state by the model, or without it by the rules, and then it says why."""
        if answer.sequence is None:
            reason = answer.body["degraded_reason"]
            return answer.status == 200 and answer.body["degraded"] and "the feature store" in reason
        margin = detectors[0].detector.margins(after(answer.sequence)[1]).tobytes()
        return answer.status == 200 and not answer.body["degraded"] and margin_bytes(answer) == margin

    def sees(sequence: int | None) -> Callable[[], bool]:
        return lambda: bool(load.answers) and load.answers[-1].sequence == sequence

    with load.under(load.asking(stack, is_complete), load.asking(stack, is_complete)):
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
"""For a machine that others use as well."""


def test_a_store_server_that_hangs_or_is_dead_costs_nobody_more_than_the_deadline_and_heals(
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
            answer = asked(http)
            return (answer.status, answer.sequence) == (200, 2) and not answer.body["degraded"]

        def rounds(count: int) -> list[Answered]:
            """Questions of several clients, and between them others that have nothing to do with the store."""
            answers, alive = [], []
            for _ in range(count):
                waiting = [clients.submit(asked, http, **{DEADLINE_HEADER: str(DEADLINE_MS)}) for _ in range(CLIENTS)]
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
            assert statistics.quantiles(alive, n=20)[-1] < AT_ONCE_SECONDS
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


# The registry


def test_without_the_registry_scoring_goes_on_and_starts_with_the_champion_that_was_kept(
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
    with_kept = start_scoring(home=tmp_path / "kept", wait=False)
    with_damaged = start_scoring(home=tmp_path / "damaged")
    until(lambda: with_kept.status("/livez") == 200, "the other one answers")

    away = f"the model registry at {mlflow.url} does not answer"
    until(lambda: away in str(stack.get("/readyz").json()["problem"]), "that the registry is away is seen")
    assert stack.get("/readyz").status_code == 200
    assert scores(stack) == (versions[0], margins[0])

    ready = with_kept.get("/readyz")
    assert (ready.status_code, ready.json()["version"]) == (200, versions[0])
    assert away in ready.json()["problem"]
    assert f"serving version {versions[0]}, the newest champion that was kept on disk" in ready.json()["problem"]
    assert scores(with_kept) == (versions[0], margins[0])

    ready = with_damaged.get("/readyz")
    assert ready.status_code == 503
    assert away in ready.json()["error"]
    assert "champion.msgpack cannot be used: its bytes have changed" in ready.json()["error"]
    with pytest.raises(ScoringUnavailable, match="answered 503: no champion"):
        scores(with_damaged)
    answer = with_damaged.post("/v1/score", QUESTION)
    assert answer.status_code == 200
    assert (answer.json()["degraded"], answer.json()["margin"], answer.json()["action"]) == (True, None, "approve")
    assert "its bytes have changed" in answer.json()["degraded_reason"]

    mlflow.start()
    record_property("seconds_without_registry", round(time.monotonic() - begin, 1))
    until(lambda: with_damaged.status("/readyz") == 200, "it serves")
    assert scores(with_damaged) == (versions[0], margins[0])
    stack.registry.set_alias(CHAMPION, versions[1])
    for one in (stack, with_kept, with_damaged):
        followed = until(lambda one=one: scores(one) == (versions[1], margins[1]), "the next promotion is followed")
        assert one.get("/readyz").json()["problem"] is None
    record_property("seconds_until_followed", round(followed, 1))
