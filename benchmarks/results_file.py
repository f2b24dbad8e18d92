"""The file of recorded results: the metrics of all suites, and when and where each suite was measured."""

from __future__ import annotations

import os
import platform
from datetime import date
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from adapters.runtime.clock import epoch_ms
from benchmarks.harness import Metric, Metrics
from cardwatch.events import from_epoch_ms, utc_day


class Machine(Struct, frozen=True, kw_only=True, order=True):
    """The machine on which a suite was measured."""

    processor: str
    cores: int
    system: str
    python: str


class MeasuredSuite(Struct, frozen=True, kw_only=True):
    """When and where a suite was measured: the day in UTC, the load of the machine before, the names of its metrics."""

    measured_on: date
    machine: Machine
    load_before: float
    metrics: list[str]


class Results(Struct, frozen=True, kw_only=True):
    """The recorded results. Each metric belongs to one suite."""

    suites: dict[str, MeasuredSuite]
    metrics: dict[str, Metric]


_EMPTY: Final = Results(suites={}, metrics={})


def read_results(file: Path) -> Results:
    """Return the recorded results; none if the file does not exist."""
    return msgspec.json.decode(file.read_bytes(), type=Results) if file.exists() else _EMPTY


def record_suite(file: Path, suite: str, metrics: Metrics, *, load_before: float) -> None:
    """Replace the metrics of a suite, also those that it no longer measures. `load_before`: of the last minute."""
    known = read_results(file)
    former = known.suites[suite].metrics if suite in known.suites else []
    others = {name: metric for name, metric in known.metrics.items() if name not in former}
    if both := sorted(set(others) & set(metrics)):
        raise ValueError(f"suite {suite} measures {', '.join(both)}, which another suite measures too")
    measured = MeasuredSuite(
        measured_on=utc_day(from_epoch_ms(int(epoch_ms()))),
        machine=_this_machine(),
        load_before=round(load_before, 2),
        metrics=sorted(metrics),
    )
    results = Results(suites={**known.suites, suite: measured}, metrics={**others, **metrics})
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(results, order="deterministic"), indent=2) + b"\n")


def _this_machine() -> Machine:
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        system=platform.platform(),
        python=platform.python_version(),
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
