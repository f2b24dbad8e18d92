"""Numbers of the boxes, from the `/metrics` pages of the processes: values of now, and rates over the last seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from cardwatch.live.frames import Figure

WINDOW_SECONDS: Final = 10.0
_STEPS: Final = ("fold", "score", "commit")
_MS: Final = 1_000.0


class MetricSample(NamedTuple):
    """A measured value with its labels."""

    name: str
    labels: Mapping[str, str]
    value: float


Pages = Mapping[str, list[MetricSample]]
"""Process name to the samples of its page."""


def samples(page: str) -> list[MetricSample]:
    """Return the samples of a page in Prometheus' text format. Raises `ValueError` if it is malformed."""
    families = text_string_to_metric_families(page)
    return [MetricSample(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]


class MetricsHistory:
    """The pages of the last seconds. `now_seconds` are those of a monotonic clock."""

    def __init__(self) -> None:
        self._rounds: deque[tuple[float, Pages]] = deque()

    @property
    def newest(self) -> Pages:
        """The newest pages."""
        return self._rounds[-1][1] if self._rounds else {}

    def add(self, pages: Pages, now_seconds: float) -> None:
        """Add a round of pages."""
        self._rounds.append((now_seconds, pages))
        while len(self._rounds) > 2 and self._rounds[1][0] <= now_seconds - WINDOW_SECONDS:
            self._rounds.popleft()

    def figures(self) -> dict[str, list[Figure]]:
        """Return the numbers of each box; None where a process has not been measured yet."""
        step_seconds = "cardwatch_stream_step_seconds"
        return {
            "generator": [
                _figure("sent", self._rate("generator", "cardwatch_generator_sent_total", topic="transactions"), "/s"),
                _figure("labels", self._rate("generator", "cardwatch_generator_sent_total", topic="labels"), "/s"),
            ],
            "stream": [_figure(step, self._mean("stream", step_seconds, step=step), "ms") for step in _STEPS],
            "store": [
                _figure("cards", self._value("stream", "cardwatch_store_cards")),
                _figure("behind the log", self._value("stream", UNAPPLIED)),
            ],
            "scoring": [
                _figure("requests", self._rate("scoring", "cardwatch_scoring_seconds_count"), "/s"),
                _figure("mean", self._mean("scoring", "cardwatch_scoring_seconds"), "ms"),
            ],
            "archive": [
                _figure("open days", self._value("archive", "cardwatch_archive_open_days")),
                _figure("records behind", self._value("archive", "cardwatch_archive_lag_records")),
            ],
            "pipelines": [_figure("runs", self._value("pipelines", "cardwatch_pipelines_runs_total"))],
        }

    def unapplied(self) -> dict[int, int]:
        """Return per partition the records that are committed and not applied, as the stream workers measure them."""
        return self._by_partition(UNAPPLIED)

    def refolded(self) -> dict[int, int]:
        """Return per partition the records that the workers have folded again since their start."""
        return self._by_partition(REFOLDED)

    def _by_partition(self, metric: str) -> dict[int, int]:
        return {
            int(sample.labels["partition"]): int(sample.value)
            for sample in _of(self.newest, "stream", metric, {})
            if sample.labels.get("partition", "").isdigit()
        }

    def _value(self, kind: str, metric: str, **labels: str) -> float | None:
        return _sum(self.newest, kind, metric, labels)

    def _rate(self, kind: str, metric: str, **labels: str) -> float | None:
        if not self._rounds:
            return None
        (then, before), (now, after) = self._rounds[0], self._rounds[-1]
        old, new = (_sum(pages, kind, metric, labels) for pages in (before, after))
        if old is None or new is None or now <= then:
            return None
        return max(new - old, 0.0) / (now - then)  # a restarted process counts from 0 again

    def _mean(self, kind: str, histogram: str, **labels: str) -> float | None:
        """Return the mean of a histogram of seconds over the last rounds, in ms; None if nothing was observed."""
        total, count = (self._rate(kind, f"{histogram}_{part}", **labels) for part in ("sum", "count"))
        return total / count * _MS if total is not None and count else None


UNAPPLIED: Final = "cardwatch_stream_unapplied_records"
REFOLDED: Final = "cardwatch_stream_refolded_records_total"


def kind_of(process: str) -> str:
    """Return the kind of a process: `stream` for `stream-2`."""
    kind, _, number = process.rpartition("-")
    return kind if kind and number.isdigit() else process


def _figure(name: str, value: float | None, unit: str = "") -> Figure:
    return Figure(name=name, value=value, unit=unit)


def _sum(pages: Pages, kind: str, metric: str, labels: Mapping[str, str]) -> float | None:
    values = [sample.value for sample in _of(pages, kind, metric, labels)]
    return sum(values) if values else None


def _of(pages: Pages, kind: str, metric: str, labels: Mapping[str, str]) -> list[MetricSample]:
    return [
        sample
        for process, page in pages.items()
        if kind_of(process) == kind
        for sample in page
        if sample.name == metric and all(sample.labels.get(name) == value for name, value in labels.items())
    ]
