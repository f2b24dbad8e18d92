"""Which figures of the estimate are measured, and by which benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from cardwatch.errors import Misconfigured
from cardwatch.estimator.quantities import Basis, KnownFigure, Unit


class Measurement(Struct, frozen=True, kw_only=True):
    """A figure that a metric of the benchmarks gives. `scale` converts the metric's unit to that of the figure."""

    name: str
    title: str
    unit: Unit
    metric: str
    suite: str
    scale: float = 1.0


MEASUREMENTS: Final = (
    Measurement(
        name="worker_us", title="worker's time per decision", unit=Unit.MICROSECONDS, metric="stream_worker_processor",
        suite="stream",
    ),
    Measurement(
        name="scoring_us", title="scoring time per decision", unit=Unit.MICROSECONDS,
        metric="stream_scoring_processor", suite="stream",
    ),
    Measurement(
        name="broker_us", title="broker's time per decision", unit=Unit.MICROSECONDS, metric="stream_broker_processor",
        suite="stream",
    ),
    Measurement(
        name="stream_log_bytes", title="measured bytes in the log", unit=Unit.BYTES, metric="stream_log_bytes",
        suite="stream",
    ),
    Measurement(
        name="worker_memory", title="memory of a worker", unit=Unit.BYTES, metric="stream_backlog_memory",
        suite="stream", scale=1e6,
    ),
    Measurement(
        name="scoring_memory", title="memory of a scoring worker", unit=Unit.BYTES, metric="scoring_memory",
        suite="memory", scale=1e6,
    ),
    Measurement(
        name="takeover", title="seconds until another worker decides", unit=Unit.SECONDS,
        metric="stream_killed_taken_over", suite="stream",
    ),
    Measurement(
        name="replay_rate", title="rows replayed by a core", unit=Unit.PER_SECOND, metric="replay", suite="replay",
    ),
)  # fmt: skip
"""The metrics of benchmarks/results/latest.json that the formulas name."""


def measured_figures(metrics: Mapping[str, float]) -> Iterator[KnownFigure]:
    """Yield the figures for the values of metrics. Raises `Misconfigured` for one that was not measured."""
    for each in MEASUREMENTS:
        if each.metric not in metrics:
            raise Misconfigured(
                f"benchmarks/results/latest.json has no {each.metric}, which the estimate needs: "
                f"`make bench SUITES={each.suite}` measures it"
            )
        yield KnownFigure(
            name=each.name,
            title=each.title,
            unit=each.unit,
            value=metrics[each.metric] * each.scale,
            basis=Basis.MEASURED,
            source=f"{each.metric}, `make bench SUITES={each.suite}`",
        )
