"""Load measurements of one server, and what is computed from those of several rounds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.load import Load, Result, run_load
from benchmarks.serving.servers import Server

Results = Mapping[str, Sequence[Result]]


def measure_load(server: Server, path: str, bodies: Path, **options: Any) -> Result:
    """Return the result of one measurement; raise `RuntimeError` if a request failed, which would invalidate it.

    `options` are the other fields of `Load`.
    """
    load = Load(url=server.url + path, bodies=str(bodies), server_pid=server.pid, **options)
    result = run_load(load)
    if result.failures:
        raise RuntimeError(f"{load.url}: {result.errors} errors and answers {result.statuses}")
    return result


def rates(results: Sequence[Result]) -> list[float]:
    """Return the requests per second of each round."""
    return [result.rate for result in results]


def median_rate(results: Sequence[Result]) -> float:
    return statistics.median(rates(results))
