"""Servers asked in turn, several rounds in one run, so that each meets the machine in the same minutes."""

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
    """One measurement. Raises `RuntimeError` for a request that failed: a number with failures in it says nothing."""
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
    """What each candidate gave in each round."""
    results: dict[str, list[Result]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, candidate in candidates.items():
            results[name].append(candidate())
    return results


def rates(results: Sequence[Result]) -> list[float]:
    """Requests per second, round by round."""
    return [result.rate for result in results]


def median_rate(results: Sequence[Result]) -> float:
    return statistics.median(rates(results))
