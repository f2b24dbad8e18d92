"""Measurement: candidates take turns over several rounds of one run; medians and ratios are taken round by round.

The machines are shared, so a ratio of two things measured in the same seconds is more reliable than an absolute time.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
from msgspec import Struct

Metrics = dict[str, "Metric"]
T = TypeVar("T")


class Metric(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A measured number, the median of the rounds of one run. `goal` is the target.

    `baseline` is the median of what it is compared with in the same rounds. `ratio` is the median of the ratios of the
    rounds, which differs a little from `value` over `baseline`: in a round both were measured in the same seconds.
    """

    value: float
    unit: str
    how: str
    baseline: float | None = None
    ratio: float | None = None
    goal: str = ""


def compared(
    values: Sequence[float], baseline: Sequence[float], *, unit: str, how: str, goal: str = "", scale: float = 1.0
) -> Metric:
    """The median of the values over that of the baseline, round by round. `scale` converts both to `unit`."""
    return Metric(
        value=float(np.median(values)) * scale,
        unit=unit,
        how=how,
        baseline=float(np.median(baseline)) * scale,
        ratio=ratio(values, baseline),
        goal=goal,
    )


def ratio(of: Sequence[float], over: Sequence[float]) -> float:
    """The median of the ratios round by round."""
    return float(np.median(np.divide(of, over)))


def rounded(value: float) -> str:
    """The value with three digits, or as an integer from 1,000 on."""
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"


def shown_value(metric: Metric) -> str:
    """The value with its unit."""
    return f"{rounded(metric.value)} {metric.unit}"


def in_rounds(candidates: Mapping[str, Callable[[], T]], *, rounds: int, uncounted: int = 0) -> dict[str, list[T]]:
    """The results of each candidate in each round, after the first rounds, which are not counted."""
    results: dict[str, list[T]] = {name: [] for name in candidates}
    for _ in range(uncounted + rounds):
        for name, candidate in candidates.items():
            results[name].append(candidate())
    return {name: of_rounds[uncounted:] for name, of_rounds in results.items()}


def in_turn(candidates: Mapping[str, Callable[[], object]], *, rounds: int = 5) -> dict[str, list[float]]:
    """Seconds that each candidate took in each round, after one round that is not counted."""
    timed = {name: partial(_seconds_of, candidate) for name, candidate in candidates.items()}
    return in_rounds(timed, rounds=rounds, uncounted=1)


def _seconds_of(candidate: Callable[[], object]) -> float:
    gc.collect()
    begin = time.perf_counter()
    candidate()
    return time.perf_counter() - begin


def each_in_turn(candidates: Mapping[str, Callable[[], object]], *, times: int) -> dict[str, np.ndarray]:
    """Microseconds of every single call [times], the candidates taking turns call by call."""
    micros = {name: np.empty(times) for name in candidates}
    for candidate in candidates.values():
        for _ in range(1_000):
            candidate()
    gc.collect()
    gc.disable()
    try:
        for i in range(times):
            for name, candidate in candidates.items():
                begin = time.perf_counter_ns()
                candidate()
                micros[name][i] = (time.perf_counter_ns() - begin) / 1e3
    finally:
        gc.enable()
    return micros
