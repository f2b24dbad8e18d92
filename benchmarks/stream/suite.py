"""The stream under load: throughput over a bare relay, processor time per decision, latency, and a long backlog.

Broker, scoring service with one worker, consumer and writer share the cores. Features, scoring, policy and
exactly-once are on. The load is encoded beforehand, and the decisions are counted afterwards.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import psutil
from msgspec import Struct, structs

from adapters.kafka.offsets import commit_offsets
from adapters.runtime.addresses import HttpUrl
from adapters.runtime.kafka_connection import KafkaClient
from adapters.runtime.ports import LOOPBACK
from benchmarks.harness import Metric, Metrics, compared
from benchmarks.stream.failover import measure_failover
from benchmarks.stream.hops import Hops
from benchmarks.stream.naive_consumer import NaiveConsumer
from benchmarks.stream.stand import Drain, StreamStand
from benchmarks.stream.witness import count
from cardwatch.topics import DECISIONS, STREAM_GROUP, TRANSACTIONS

ROUNDS: Final = 3
BACKLOG: Final = 150_000
"""Transactions of a round."""
LONG_BACKLOG: Final = 1_000_000
NAIVE_BACKLOG: Final = 1_000
SUSTAINED_RATE: Final = 15_000.0
SUSTAINED_SECONDS: Final = 60
SUSTAINED_LINGER_MS: Final = 20
"""Time for which the writer collects records. Writing each millisecond's records at once would take a third of a core
of the two that all processes share."""
PACED_RATE: Final = 500.0
PACED_SECONDS: Final = 10
RELAYED: Final = "relayed"
RELAY_GROUP: Final = "benchmark-relay"


class MeasuredConsumer(Struct, frozen=True):
    """A process that reads the transactions in a consumer group and writes to a topic, with one of the clients."""

    name: str
    group: str
    topic: str
    client: KafkaClient = KafkaClient.CONFLUENT
    traces_url: HttpUrl = HttpUrl("")
    reads_headers: bool = False


class Backlog(NamedTuple):
    """`records` transactions from number `first` on, behind the offsets `begin`."""

    begin: dict[int, int]
    first: int
    records: int


WORKER: Final = MeasuredConsumer("stream", STREAM_GROUP, DECISIONS)
RELAY: Final = MeasuredConsumer("relay", RELAY_GROUP, RELAYED)
TRACING: Final = structs.replace(WORKER, traces_url=HttpUrl(f"http://{LOOPBACK}:9"))
"""Nobody listens there: nothing is sampled."""
WITH_HEADERS: Final = structs.replace(WORKER, reads_headers=True)
UNSAMPLED: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
"""Header of a producer that does not trace its transactions."""
WORKER_OF_PYTHON: Final = structs.replace(WORKER, client=KafkaClient.KAFKA_PYTHON)
RELAY_OF_PYTHON: Final = MeasuredConsumer("relay", f"{RELAY_GROUP}-python", RELAYED, KafkaClient.KAFKA_PYTHON)
AT_LEAST_ONCE: Final = MeasuredConsumer("at-least-once", STREAM_GROUP, DECISIONS)
NAIVE: Final = MeasuredConsumer("naive", "benchmark-naive", RELAYED)
PACED: Final = (WORKER, RELAY, AT_LEAST_ONCE)


def measure() -> Metrics:
    """Run all measurements on one stand."""
    with StreamStand() as stand:
        stand.create_topic(RELAYED)
        _drain(stand, WORKER, _backlog(stand, BACKLOG // 10))
        stand.keep_values(DECISIONS)
        drains: defaultdict[MeasuredConsumer, list[Drain]] = defaultdict(list)
        latencies: defaultdict[MeasuredConsumer, list[tuple[float, float]]] = defaultdict(list)
        hops = Hops()
        for _ in range(ROUNDS):
            backlog = _backlog(stand, BACKLOG)
            for consumer in (WORKER, RELAY):
                drains[consumer].append(_drain(stand, consumer, backlog))
            backlog_of_python = _backlog(stand, BACKLOG // 2)
            for consumer in (WORKER_OF_PYTHON, RELAY_OF_PYTHON):
                drains[consumer].append(_drain(stand, consumer, backlog_of_python))
            drains[AT_LEAST_ONCE].append(_drain(stand, AT_LEAST_ONCE, _backlog(stand, BACKLOG)))
            for consumer in (WITH_HEADERS, TRACING):
                drains[consumer].append(_drain(stand, consumer, _backlog(stand, BACKLOG, traceparent=UNSAMPLED)))
            for consumer in PACED:
                latencies[consumer].append(_latency(stand, consumer, hops if consumer is WORKER else None))
        naive = _drain_naively(stand)
        return {
            **_throughput("stream", drains[WORKER], drains[RELAY], "15,000 and 0.14"),
            **_throughput("stream_kafka_python", drains[WORKER_OF_PYTHON], drains[RELAY_OF_PYTHON], "8,000 and 0.35"),
            **_latencies(
                "stream_latency", latencies[WORKER], latencies[RELAY], "the relay's", ("at most 1.5", "at most 2")
            ),
            **hops.metrics(PACED_RATE),
            **_latencies(
                "stream_exactly_once_latency", latencies[WORKER], latencies[AT_LEAST_ONCE], "that without", ("", "")
            ),
            "stream_exactly_once_rate": compared(
                [drain.rate for drain in drains[WORKER]],
                [drain.rate for drain in drains[AT_LEAST_ONCE]],
                unit="decisions/s",
                how="exactly-once over at-least-once, a backlog",
            ),
            "stream_tracing_processor": compared(
                [drain.processor_us["worker"] for drain in drains[TRACING]],
                [drain.processor_us["worker"] for drain in drains[WITH_HEADERS]],
                unit="us",
                how="processor time of the worker per decision with tracing on, over that with tracing off; the "
                "producer of the transactions does not sample them",
                goal="at most 1.05",
            ),
            "stream_headers_processor": compared(
                [drain.processor_us["worker"] for drain in drains[WITH_HEADERS]],
                [drain.processor_us["worker"] for drain in drains[WORKER]],
                unit="us",
                how="processor time of the worker per decision with a header in each record, which its decision has "
                "too, over that without headers",
            ),
            "stream_over_naive": compared(
                [statistics.median(drain.rate for drain in drains[WORKER])],
                [naive.rate],
                unit="decisions/s",
                how="over a naive consumer: poll, a request for each record to the naive service, produce",
                goal="at least 30 times",
            ),
            "stream_log_bytes": Metric(
                value=sum(statistics.mean(map(len, stand.some_values(topic))) for topic in (TRANSACTIONS, DECISIONS)),
                unit="bytes",
                how="a transaction and its decision in the log, before compression",
            ),
            **_two_workers(stand, drains[WORKER]),
            **measure_failover(stand),
            **_sustained(stand),
            **_long_backlog(stand),
        }


def _backlog(stand: StreamStand, records: int, **options: Any) -> Backlog:
    """Write transactions, for one consumer after the other."""
    backlog = Backlog(stand.ends(), stand.written, records)
    stand.write_backlog(records, **options)
    return backlog


def _drain(stand: StreamStand, consumer: MeasuredConsumer, backlog: Backlog, **options: Any) -> Drain:
    """Measure a backlog that was written before the consumer starts; raise unless each transaction is written once."""
    written = stand.ends(consumer.topic)
    with _running(stand, consumer, backlog.begin):
        measured = {"worker": stand.pid(consumer.name)}
        drain = stand.drain(consumer.group, measured, backlog.begin, backlog.records, **options)
    _require_each_once(stand, consumer, written, backlog)
    return drain


def _latency(stand: StreamStand, consumer: MeasuredConsumer, hops: Hops | None = None) -> tuple[float, float]:
    """Return the median and the 99th percentile in ms from sending a transaction to reading its record.

    `hops` gets the times of the worker's steps.
    """
    records, warm_up = int(PACED_RATE * PACED_SECONDS), int(PACED_RATE * 2)
    with _running(stand, consumer, stand.ends()):
        milliseconds = stand.latencies(consumer.topic, warm_up + records, PACED_RATE)[warm_up:]
        if hops is not None:
            hops.note(stand.stack.health_address(consumer.name))
    if np.isnan(milliseconds).any():
        raise RuntimeError(f"{consumer.name}: {np.isnan(milliseconds).sum()} records were not written")
    p50, p99 = np.percentile(milliseconds, [50, 99])
    return float(p50), float(p99)


def _sustained(stand: StreamStand) -> Metrics:
    """Offer a steady rate, and measure how far the worker is behind in the middle and in the last third."""
    backlog = Backlog(stand.ends(), stand.written, int(SUSTAINED_RATE * SUSTAINED_SECONDS))
    written = stand.ends(DECISIONS)
    with _running(stand, WORKER, backlog.begin):
        writer = stand.write(backlog.records, rate=SUSTAINED_RATE, linger_ms=SUSTAINED_LINGER_MS)
        lags = stand.lags(STREAM_GROUP, backlog.begin, while_running=writer)
        stand.drain(STREAM_GROUP, {}, backlog.begin, backlog.records)
    degraded = _require_each_once(stand, WORKER, written, backlog)
    third = len(lags) // 3
    return {
        "stream_sustained_lag": compared(
            [statistics.median(lags[-third:])],
            [max(statistics.median(lags[third : 2 * third]), 1.0)],
            unit="records",
            how=f"undecided transactions at {SUSTAINED_RATE:,.0f}/s over {SUSTAINED_SECONDS} s, median of the last "
            "third of the time over the middle one",
            goal="flat",
        ),
        "stream_sustained_degraded": Metric(
            value=degraded, unit="decisions", how="decided by the rules in the same minute", goal="0"
        ),
    }


def _long_backlog(stand: StreamStand) -> Metrics:
    """Drain a million transactions, and compare the worker's memory after a fifth and at the end."""
    backlog = _backlog(stand, LONG_BACKLOG)
    memory: list[float] = []

    def note_memory() -> None:
        used = psutil.Process(stand.pid(WORKER.name)).memory_info()
        memory.append((used.rss - used.shared) / 2**20)  # the embedded store is a file that is mapped

    drain = _drain(stand, WORKER, backlog, on_bound=note_memory)
    return {
        "stream_backlog_rate": Metric(
            value=drain.rate, unit="decisions/s", how=f"a backlog of {LONG_BACKLOG:,} transactions"
        ),
        "stream_backlog_memory": compared(
            memory[1:],
            memory[:1],
            unit="MB",
            how="memory of the worker at the end, over that after a fifth",
            goal="flat",
        ),
    }


def _throughput(prefix: str, worker: list[Drain], relay: list[Drain], goals: str) -> Metrics:
    least_rate, _, least_ratio = goals.partition(" and ")
    metrics = {
        f"{prefix}_rate": compared(
            [drain.rate for drain in worker],
            [drain.rate for drain in relay],
            unit="decisions/s",
            how="a backlog, one worker and one scoring worker, over a bare transactional relay with the same client",
            goal=f"at least {least_rate} and {least_ratio} of the relay",
        )
    }
    for name, goal in (("worker", "at most 60"), ("broker", "at most 30")):
        metrics[f"{prefix}_{name}_processor"] = compared(
            [drain.processor_us[name] for drain in worker],
            [drain.processor_us[name] for drain in relay],
            unit="us",
            how=f"processor time of the {name} per decision, over that per record of the relay"
            + ("'s broker" if name == "broker" else ""),
            goal=goal if prefix == "stream" else "",
        )
    metrics[f"{prefix}_scoring_processor"] = Metric(
        value=statistics.median(drain.processor_us["scoring"] for drain in worker),
        unit="us",
        how="processor time of the scoring service per decision",
        goal="at most 15",
    )
    return metrics


def _latencies(
    prefix: str,
    measured: list[tuple[float, float]],
    baseline: list[tuple[float, float]],
    title: str,
    goals: tuple[str, str],
) -> Metrics:
    return {
        f"{prefix}_{name}": compared(
            [each[place] for each in measured],
            [each[place] for each in baseline],
            unit="ms",
            how=f"{name} from sending to reading the decision at {PACED_RATE:.0f}/s, over {title}",
            goal=goal,
        )
        for place, (name, goal) in enumerate(zip(("p50", "p99"), goals, strict=True))
    }


def _two_workers(stand: StreamStand, alone: list[Drain]) -> Metrics:
    """Drain a backlog with two workers, and compare the work that each does in a second of its own core."""
    backlog, written = _backlog(stand, BACKLOG), stand.ends(DECISIONS)
    slots = ("stream-one", "stream-two")
    for slot in slots:
        stand.start_slot(slot)
    more = _backlog(stand, BACKLOG)  # both have partitions when this arrives
    drain = stand.drain(STREAM_GROUP, {slot: stand.pid(slot) for slot in slots}, more.begin, more.records)
    stand.stack.supervisor.stop(*slots)
    _require_each_once(stand, WORKER, written, Backlog(backlog.begin, backlog.first, backlog.records + more.records))
    one = statistics.median(each.processor_us["worker"] for each in alone)
    return {
        "stream_two_workers": compared(
            [2.0 / sum(drain.processor_us[slot] for slot in slots)],
            [1.0 / one],
            unit="decisions/us",
            how="decisions per microsecond of processor time with a core for each of two workers, over one worker",
            goal="at least 1.8",
        )
    }


def _drain_naively(stand: StreamStand) -> Drain:
    """Measure the naive consumer over the newest transactions."""
    backlog = _backlog(stand, NAIVE_BACKLOG)
    commit_offsets(stand.settings.kafka, NAIVE.group, TRANSACTIONS, backlog.begin)
    with stand.naive_service() as url:
        consumer = NaiveConsumer(
            bootstrap=stand.bootstrap, group=NAIVE.group, topic=NAIVE.topic, url=url, values=str(stand.values)
        )
        stand.start_module(NAIVE.name, "benchmarks.stream.naive_consumer", msgspec.json.encode(consumer).decode())
        drain = stand.drain(NAIVE.group, {}, backlog.begin, backlog.records)
        stand.stack.supervisor.stop(NAIVE.name)
    return drain


def _require_each_once(
    stand: StreamStand, consumer: MeasuredConsumer, written: dict[int, int], backlog: Backlog
) -> int:
    """Raise `RuntimeError` if a record was lost or repeated; return the number of degraded ones."""
    ends = stand.ends(consumer.topic)
    found = count(stand.bootstrap, consumer.topic, written, ends, backlog.first, backlog.records)
    if found.lost or found.repeated:
        raise RuntimeError(f"{consumer.name}: {found.lost} records lost, {found.repeated} repeated")
    return found.degraded


@contextmanager
def _running(stand: StreamStand, consumer: MeasuredConsumer, begin: dict[int, int]) -> Iterator[None]:
    """Run the consumer. A relay begins at these offsets; the worker has decided everything before them."""
    if consumer.name == WORKER.name:
        stand.start_worker(kafka_client=consumer.client, traces_url=consumer.traces_url, traces_share=0.0)
    elif consumer is AT_LEAST_ONCE:
        stand.start_module(consumer.name, "benchmarks.stream.at_least_once", "--slot", consumer.name)
    else:
        commit_offsets(stand.settings.kafka, consumer.group, TRANSACTIONS, begin)
        stand.start_relay(consumer.client, consumer.name, consumer.group, consumer.topic)
    try:
        yield
    finally:
        stand.stack.supervisor.stop(consumer.name)
