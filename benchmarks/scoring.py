"""The scoring service over HTTP, compared with the floor: BentoML's server with an application that does nothing.

Both are measured alternately; a ratio is ours over the floor's in the same round. Everything is measured on one worker
process. If a Valkey or Redis server is installed, the service is also measured with the feature store in it.
"""

from __future__ import annotations

import shutil
import statistics
from functools import partial
from operator import attrgetter
from typing import Final

import httpx
import msgspec
from msgspec import structs

from adapters.feature_store.open import open_reader, open_store
from adapters.runtime.settings import Secret, Settings
from adapters.scoring.wire_format import BINARY, REASONS_HEADER, SCHEMA_HEADER
from benchmarks.busy_loop import p99_of_two
from benchmarks.harness import Metric, Metrics, compared, in_rounds
from benchmarks.load import Result
from benchmarks.redis_server import redis_server
from benchmarks.serving.fixture import BATCH, ROWS, ServingFixture, serving_fixture
from benchmarks.serving.rounds import Results, measure_load, median_rate
from benchmarks.serving.servers import Candidate, Server, floor, running_servers, scoring
from cardwatch.events import Action
from cardwatch.features.definitions import SCHEMA_HASH

CONNECTIONS: Final = 16
OPEN_CONNECTIONS: Final = 64
FEW: Final = 2
"""Number of connections for batches: while one waits for its response, the other sends its request."""
ROUNDS: Final = 5
WITHIN: Final = 4.0
"""How many times the floor's p99 each round may have at half capacity."""
PROBE_SECONDS: Final = 2.0


def measure() -> Metrics:
    """Return latency, capacity, processor time and batch rates, over those of the floor where it has them."""
    data = serving_fixture()
    with running_servers(data.settings, scoring, floor) as (ours, bare):
        one = _measure_both(data, ours, bare, connections=1)
        many = _measure_both(data, ours, bare, connections=CONNECTIONS)
        rate = median_rate(many["ours"]) / 2
        half, waits = _measure_at_half(data, ours, bare, rate)
        batches = _measure_batches(data, ours)
        alert_ratio = _alert_ratio(data, ours)
    return {
        "score_one_p50": _over_the_floor(one, "latency.p50", "µs", "one connection, p50", "at most 2 times"),
        "score_16_rate": _over_the_floor(
            many, "rate", "requests per second", f"{CONNECTIONS} connections", "at least 0.4 times"
        ),
        "score_cpu": _over_the_floor(
            many, "server_cpu_us", "µs", f"the server's processor time, {CONNECTIONS} connections", "at most 3 times"
        ),
        "score_half_p99": _over_the_floor(half, "latency.p99", "µs", _at_rate(rate, half), "at most 4 times"),
        "score_half_p99_worst": _worst_round(half, waits),
        "score_batch_64": _per_second(batches["batch"], BATCH, "transactions", "`/v1/score/batch`", "at least 50,000"),
        "invocations_500": _per_second(batches["rows"], ROWS, "rows", "`/invocations`", "at least 120,000"),
        "score_alerts": Metric(
            value=alert_ratio * 100,
            unit="%",
            how=f"of the transactions were challenged or declined, with reasons; expected: {data.alert_ratio:.2%}",
        ),
        **_with_valkey(data),
    }


def _measure_both(
    data: ServingFixture,
    ours: Server,
    bare: Server,
    *,
    connections: int,
    rate: float | None = None,
    rounds: int = ROUNDS,
) -> Results:
    def measure(server: Server) -> Result:
        return measure_load(
            server, "/v1/score", data.transactions, headers=data.headers, connections=connections, rate=rate
        )

    return in_rounds({"bare": partial(measure, bare), "ours": partial(measure, ours)}, rounds=rounds)


def _measure_at_half(data: ServingFixture, ours: Server, bare: Server, rate: float) -> tuple[Results, list[float]]:
    """Return the results at a rate, and in each round how long two busy loops in place of the processes wait, in µs."""
    results: dict[str, list[Result]] = {"bare": [], "ours": []}
    waits = []
    for _ in range(ROUNDS):
        for name, [result] in _measure_both(
            data, ours, bare, connections=OPEN_CONNECTIONS, rate=rate, rounds=1
        ).items():
            results[name].append(result)
        waits.append(p99_of_two(PROBE_SECONDS))
    return results, waits


def _worst_round(results: Results, waits: list[float]) -> Metric:
    """Report the round with the highest p99 over the floor's, and what the machine alone does in that round."""
    ratios = [own.latency.p99 / bare.latency.p99 for own, bare in zip(results["ours"], results["bare"], strict=True)]
    worst = max(range(ROUNDS), key=ratios.__getitem__)
    within = sum(ratio <= WITHIN for ratio in ratios)
    return Metric(
        value=results["ours"][worst].latency.p99,
        unit="µs",
        baseline=results["bare"][worst].latency.p99,
        ratio=ratios[worst],
        how=f"the same in the worst round, over the floor's; {within} of {ROUNDS} rounds within {WITHIN:g} times. Two"
        f" busy loops in place of server and generator waited {waits[worst]:,.0f} µs (p99) beside it",
        goal=f"{ROUNDS} of {ROUNDS} rounds within {WITHIN:g} times",
    )


def _over_the_floor(results: Results, quantity: str, unit: str, how: str, goal: str) -> Metric:
    """Compare an attribute of the results, such as `latency.p50`."""
    ours, bare = (list(map(attrgetter(quantity), results[name])) for name in ("ours", "bare"))
    return compared(ours, bare, unit=unit, how=f"`/v1/score`, {how}; over the floor's", goal=goal)


def _at_rate(rate: float, results: Results) -> str:
    late = statistics.median(result.late.p99 for result in results["ours"])
    return f"p99 of {rate:,.0f} random arrivals a second, half of our capacity, {late:.0f} µs of it in the generator"


def _measure_batches(data: ServingFixture, ours: Server) -> Results:
    measure = partial(measure_load, ours, connections=FEW)
    rows = {**data.headers, SCHEMA_HEADER: SCHEMA_HASH, REASONS_HEADER: "0.5", "Content-Type": BINARY}
    return in_rounds(
        {
            "batch": partial(measure, path="/v1/score/batch", bodies=data.batches, headers=data.headers),
            "rows": partial(measure, path="/invocations", bodies=data.row_batches, headers=rows),
        },
        rounds=ROUNDS,
    )


def _per_second(results: list[Result], size: int, what: str, path: str, goal: str) -> Metric:
    return Metric(
        value=median_rate(results) * size,
        unit=f"{what} per second and worker",
        how=f"{path}, {size} in a request, {FEW} connections",
        goal=goal,
    )


def _alert_ratio(data: ServingFixture, ours: Server) -> float:
    """Return the share of alerts in the service's decisions about all transactions in complete batches."""
    actions: list[str] = []
    with httpx.Client(headers=data.headers, trust_env=False) as client:
        for body in msgspec.msgpack.decode(data.batches.read_bytes()):
            answers = client.post(f"{ours.url}/v1/score/batch", content=body).raise_for_status().json()
            actions += [answer["action"] for answer in answers]
    return sum(action != Action.APPROVE.value for action in actions) / len(actions)


def _with_valkey(data: ServingFixture) -> Metrics:
    with redis_server() as url:
        if url is None:
            return {}
        moved = _moved(data.settings, url)

        def scoring_with_valkey(settings: Settings) -> Candidate:
            return scoring(structs.replace(settings, home=moved.home, store_url=moved.store_url))

        with running_servers(data.settings, scoring_with_valkey) as (ours,):
            measure = partial(measure_load, ours, "/v1/score", data.transactions, headers=data.headers)
            results = in_rounds(
                {"one": partial(measure, connections=1), "many": partial(measure, connections=CONNECTIONS)}, rounds=3
            )
    return {
        "score_valkey_p50": Metric(
            value=statistics.median(result.latency.p50 for result in results["one"]),
            unit="µs",
            how="`/v1/score` with the store in Valkey or Redis on loopback, one connection, p50",
        ),
        "score_valkey_16_rate": Metric(
            value=median_rate(results["many"]),
            unit="requests per second",
            how=f"`/v1/score` with the store in Valkey or Redis on loopback, {CONNECTIONS} connections",
        ),
    }


def _moved(settings: Settings, url: str) -> Settings:
    """Return settings for the same data with the card states in the server at `url`, in another home."""
    moved = structs.replace(settings, home=settings.home / "valkey", store_url=Secret(url))
    shutil.copytree(settings.tables, moved.tables)
    with open_reader(settings) as embedded, embedded.contents() as contents, open_store(moved) as server:
        server.fill(contents)
    return moved
