"""Measure servers alternately in several rounds of one run, so that all share the conditions of the machine."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.load import Load, Result, run_load
from benchmarks.serving.servers import Server

JSON: Final = {"Content-Type": "application/json"}

Results = Mapping[str, Sequence[Result]]


def measure_load(
    server: Server,
    path: str,
    bodies: Path,
    *,
    connections: int,
    headers: Mapping[str, str] = JSON,
    seconds: float = 2.0,
    rate: float | None = None,
) -> Result:
    """Return the result of one measurement; raise `RuntimeError` if a request failed, which would invalidate it."""
    load = Load(
        url=server.url + path,
        headers=dict(headers),
        bodies=str(bodies),
        server_pid=server.pid,
        connections=connections,
        seconds=seconds,
        rate=rate,
    )
    result = run_load(load)
    if result.failures:
        raise RuntimeError(f"{load.url}: {result.errors} errors and answers {result.statuses}")
    return result


def in_rounds(candidates: Mapping[str, Callable[[], Result]], *, rounds: int) -> dict[str, list[Result]]:
    """Return the results of each candidate in each round."""
    results: dict[str, list[Result]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, candidate in candidates.items():
            results[name].append(candidate())
    return results


def rates(results: Sequence[Result]) -> list[float]:
    """Return the requests per second of each round."""
    return [result.rate for result in results]


def median_rate(results: Sequence[Result]) -> float:
    return statistics.median(rates(results))
