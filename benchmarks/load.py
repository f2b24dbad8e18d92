"""An HTTP/1.1 load generator: `python -m benchmarks.load` reads a `Load` from stdin and writes a `Result` to stdout.

It runs in another process than the server and the benchmark, so that it shares no lock with them. It uses asyncio
protocols, because an HTTP client library takes more time than the measured servers. The bodies are prepared before the
measurement. Responses must have a `Content-Length`; any other framing, like a lost connection, counts as an error.

- Closed loop (no `rate`): every connection sends the next request when it has received a response. This measures
  capacity, and latency without queueing.
- Open loop (`rate` arrivals a second, exponential gaps): requests are sent at predetermined times, also while earlier
  ones have no response yet. Latency counts from that time, so it includes the queueing behind a server that stalls. The
  generator spins between arrivals, because timers have a resolution of a millisecond, and reports its own delay.
"""

from __future__ import annotations

import asyncio
import gc
import math
import random
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import cycle
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
import psutil
import uvloop
from msgspec import Struct, field

DRAIN_SECONDS: Final = 20.0
"""Maximum time to wait for responses after the end of the measurement. Later ones count as errors."""
_SPIN_NS: Final = 2_000_000
_HEAD_END: Final = b"\r\n\r\n"
_NEVER_NS: Final = sys.maxsize


class Load(Struct, frozen=True, kw_only=True):
    """A measurement. `bodies`: a file of `write_bodies`. `server_pid`: the process whose CPU time is measured."""

    url: str
    bodies: str
    server_pid: int
    connections: int
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    seconds: float = 2.0
    warm_up_seconds: float = 0.5
    rate: float | None = None
    seed: int = 1


class Spread(Struct, frozen=True, kw_only=True):
    """Percentiles in microseconds."""

    p50: float
    p90: float
    p99: float
    p999: float
    max: float


class Result(Struct, frozen=True, kw_only=True):
    """The responses in the measured seconds.

    `errors`: requests without a response, warm-up included. `late`: delay between arrival time and sending, in an open
    loop. `generator_cpu_ratio`: CPU time over elapsed time; 1 means that the generator was the limit, or that it spun.
    """

    answers: int
    rate: float
    statuses: dict[int, int]
    errors: int
    latency: Spread
    server_cpu_seconds: float
    generator_cpu_ratio: float
    late: Spread | None = None

    @property
    def failures(self) -> int:
        """Number of requests without a response of status 200."""
        return self.errors + self.answers - self.statuses.get(200, 0)

    @property
    def server_cpu_us(self) -> float:
        """CPU time of the server per response in microseconds."""
        return self.server_cpu_seconds / self.answers * 1e6


def run_load(load: Load) -> Result:
    """Run the generator in another process; raise `subprocess.CalledProcessError` if the server has exited."""
    command = [sys.executable, "-m", "benchmarks.load"]
    done = subprocess.run(command, input=msgspec.json.encode(load), stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(done.stdout, type=Result)


def write_bodies(file: Path, bodies: Iterable[bytes]) -> Path:
    """Write the bodies of requests, which are sent in this order, repeatedly. Return the file."""
    file.write_bytes(msgspec.msgpack.encode(list(bodies)))
    return file


class Connection(asyncio.Protocol):
    """A keep-alive connection with at most one pending request, whose latency counts from `since_ns`."""

    def __init__(self, answered: Callable[[Connection, int], None], lost: Callable[[Connection, bool], None]) -> None:
        self._answered, self._lost = answered, lost
        self._received = b""
        self._missing_bytes = 0
        self._status = 0
        self.is_busy = False
        self.since_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def send(self, request: bytes, since_ns: int) -> None:
        self.is_busy, self.since_ns = True, since_ns
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._missing_bytes:
            self._missing_bytes -= len(data)
        else:
            received = self._received + data
            end = received.find(_HEAD_END)
            if end < 0:
                self._received = received
                return
            self._received = b""
            self._status, length = _read_head(received[:end])
            self._missing_bytes = end + len(_HEAD_END) + length - len(received)
        if self._missing_bytes < 0:
            self._transport.abort()  # the body is longer than its Content-Length, or has none
        elif not self._missing_bytes:
            self.is_busy = False
            self._answered(self, self._status)

    def connection_lost(self, _: Exception | None) -> None:
        self._lost(self, self.is_busy)


@lru_cache(maxsize=4_096)
def _read_head(head: bytes) -> tuple[int, int]:
    """Return status and Content-Length, -1 without one. Cached, because heads differ only in the second of `Date`."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(head[9:12]), int(value)
    return int(head[9:12]), -1


class Loop(ABC):
    """Connections, and the responses in the measured seconds."""

    def __init__(self, load: Load, requests: Sequence[bytes]) -> None:
        self._load = load
        self._requests = cycle(requests)
        self._connections: list[Connection] = []
        self._begin_ns = self._end_ns = _NEVER_NS
        self._latencies_ns = array("q")
        self._statuses: Counter[int] = Counter()
        self._errors = 0
        self._reconnecting: set[asyncio.Task[None]] = set()

    async def connect(self) -> None:
        for _ in range(self._load.connections):
            await self._connect_one()

    @abstractmethod
    def start(self) -> None:
        """Send the first requests."""

    @abstractmethod
    def _answered(self, connection: Connection, status: int) -> None:
        """Count a response in the measured seconds, and let the connection send the next request."""

    @abstractmethod
    def _send_on(self, connection: Connection) -> None:
        """Use a connection without a pending request."""

    async def measure(self) -> None:
        """Count the responses for the seconds of the load."""
        self._begin_ns = time.perf_counter_ns()
        await asyncio.sleep(self._load.seconds)
        self._end_ns = time.perf_counter_ns()

    async def drain(self) -> None:
        """Wait for the pending requests, so that the server is idle afterwards."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while (waiting := self._waiting()) and time.monotonic() < deadline:
            await asyncio.sleep(0.005)
        self._errors += waiting

    def result(self, server_cpu_seconds: float, generator_cpu_seconds: float) -> Result:
        if not self._latencies_ns:
            sys.exit(f"{self._load.url} answered nothing; {self._errors} errors")
        seconds = (self._end_ns - self._begin_ns) / 1e9
        return Result(
            answers=len(self._latencies_ns),
            rate=len(self._latencies_ns) / seconds,
            statuses=dict(self._statuses),
            errors=self._errors,
            latency=_spread(self._latencies_ns),
            server_cpu_seconds=server_cpu_seconds,
            generator_cpu_ratio=generator_cpu_seconds / seconds,
        )

    def _waiting(self) -> int:
        return sum(connection.is_busy for connection in self._connections)

    def _count(self, latency_ns: int, status: int) -> None:
        self._latencies_ns.append(latency_ns)
        self._statuses[status] += 1

    def _lost(self, connection: Connection, was_busy: bool) -> None:
        self._errors += was_busy
        self._connections.remove(connection)
        task = asyncio.get_running_loop().create_task(self._replace_one())
        self._reconnecting.add(task)
        task.add_done_callback(self._reconnecting.discard)

    async def _replace_one(self) -> None:
        try:
            self._send_on(await self._connect_one())
        except OSError:
            self._errors += 1

    async def _connect_one(self) -> Connection:
        address = urlsplit(self._load.url)
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(self._answered, self._lost), address.hostname, address.port
        )
        self._connections.append(connection)
        return connection


class ClosedLoop(Loop):
    """Every connection sends the next request when it has received a response."""

    def start(self) -> None:
        for connection in self._connections:
            self._send_on(connection)

    def _answered(self, connection: Connection, status: int) -> None:
        now_ns = time.perf_counter_ns()
        if self._begin_ns <= now_ns < self._end_ns:
            self._count(now_ns - connection.since_ns, status)
        self._send_on(connection)

    def _send_on(self, connection: Connection) -> None:
        now_ns = time.perf_counter_ns()
        if now_ns < self._end_ns:
            connection.send(next(self._requests), now_ns)


class OpenLoop(Loop):
    """Requests are sent at random times on any free connection. Without one they wait, which adds to their latency."""

    def __init__(self, load: Load, requests: Sequence[bytes]) -> None:
        super().__init__(load, requests)
        self._due_ns: deque[int] = deque()
        self._queue_ns: deque[int] = deque()
        self._free: list[Connection] = []
        self._late_ns = array("q")

    def start(self) -> None:
        draw, gap_ns = random.Random(self._load.seed), 1e9 / self._load.rate  # noqa: S311 (not for secrets)
        arrival_ns = start_ns = time.perf_counter_ns()
        last_ns = start_ns + (self._load.warm_up_seconds + self._load.seconds) * 1e9
        while arrival_ns < last_ns:
            arrival_ns += round(draw.expovariate(1.0) * gap_ns)
            self._due_ns.append(arrival_ns)
        self._free = list(self._connections)
        self._dispatch()

    def result(self, server_cpu_seconds: float, generator_cpu_seconds: float) -> Result:
        result = super().result(server_cpu_seconds, generator_cpu_seconds)
        return msgspec.structs.replace(result, late=_spread(self._late_ns))

    def _dispatch(self) -> None:
        due_ns = self._due_ns
        now_ns = time.perf_counter_ns()
        while due_ns and due_ns[0] <= min(now_ns, self._end_ns):
            if due_ns[0] >= self._begin_ns:
                self._late_ns.append(now_ns - due_ns[0])
            self._queue_ns.append(due_ns.popleft())
            self._send_next()
            now_ns = time.perf_counter_ns()
        if due_ns and due_ns[0] <= self._end_ns:
            loop, wait_ns = asyncio.get_running_loop(), due_ns[0] - now_ns
            if wait_ns > _SPIN_NS:
                loop.call_later((wait_ns - _SPIN_NS) / 1e9, self._dispatch)
            else:
                loop.call_soon(self._dispatch)

    def _send_next(self) -> None:
        if self._queue_ns and self._free:
            self._free.pop().send(next(self._requests), self._queue_ns.popleft())

    def _answered(self, connection: Connection, status: int) -> None:
        if self._begin_ns <= connection.since_ns < self._end_ns:
            self._count(time.perf_counter_ns() - connection.since_ns, status)
        self._send_on(connection)

    def _send_on(self, connection: Connection) -> None:
        self._free.append(connection)
        self._send_next()

    def _lost(self, connection: Connection, was_busy: bool) -> None:
        if not was_busy:
            self._free.remove(connection)
        super()._lost(connection, was_busy)

    def _waiting(self) -> int:
        return super()._waiting() + len(self._queue_ns)


def _spread(values_ns: array[int]) -> Spread:
    """Return the percentiles by nearest rank."""
    ordered = sorted(values_ns)

    def at(quantile: float) -> float:
        return ordered[math.ceil(quantile * len(ordered)) - 1] / 1e3

    return Spread(p50=at(0.5), p90=at(0.9), p99=at(0.99), p999=at(0.999), max=at(1.0))


def _requests(load: Load) -> list[bytes]:
    address = urlsplit(load.url)
    head = f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in load.headers.items())
    bodies = msgspec.msgpack.decode(Path(load.bodies).read_bytes(), type=list[bytes])
    return [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]


async def _measure(load: Load) -> Result:
    loop = (OpenLoop if load.rate else ClosedLoop)(load, _requests(load))
    server = psutil.Process(load.server_pid)
    gc.freeze()
    gc.disable()
    await loop.connect()
    loop.start()
    await asyncio.sleep(load.warm_up_seconds)
    server_before, own_before = _cpu_seconds(server), time.process_time()
    await loop.measure()
    server_cpu_seconds, own_cpu_seconds = _cpu_seconds(server) - server_before, time.process_time() - own_before
    await loop.drain()
    return loop.result(server_cpu_seconds, own_cpu_seconds)


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    answer = uvloop.run(_measure(msgspec.json.decode(sys.stdin.buffer.read(), type=Load)))
    sys.stdout.buffer.write(msgspec.json.encode(answer))
