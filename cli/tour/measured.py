"""Figures that were measured: the benchmarks' results, the other files beside them, the picture of the last demo."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any, Final

from cli.figures import SourcedFigure
from cli.tour.reading import ROOT, TourError

RESULTS: Final = ROOT / "benchmarks" / "results"
PICTURE: Final = ROOT / "docs" / "images" / "demo.svg"
_NUMBER: Final = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
_PERIODS: Final = ("before", "after", "swapped")
"""The columns of the demo's table: before the change, after it, after the swap."""
_HOPS: Final = ("fold", "score", "policy", "wait", "commit", "apply")
_RATE: Final = 1_000
"""Transactions per second of the examples."""
_SUSTAINED_RATE: Final = 15_000
"""Transactions per second at which the benchmark measures `stream_sustained_lag`."""
_HOUR_SECONDS: Final = 3_600
_YEAR_SECONDS: Final = 365 * 86_400
_PREVIEW_STEPS: Final = (
    "key", "decode", "table", "state", "encode", "fold", "margin", "probability", "action", "answer", "metrics",
)  # fmt: skip


def benchmark_figures(folder: Path = RESULTS) -> Iterator[tuple[str, SourcedFigure]]:
    """Yield `bench.NAME`, `bench.NAME.baseline`, `bench.NAME.ratio` of each metric, and what follows from several."""
    path = folder / "latest.json"
    source = f"benchmarks/results/{path.name}"
    metrics: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["metrics"]
    for name, metric in metrics.items():
        yield f"bench.{name}", SourcedFigure(metric["value"], metric["unit"], f"{source}: {name}")
        for field, unit in (("baseline", metric["unit"]), ("ratio", "")):
            if metric.get(field) is not None:
                yield f"bench.{name}.{field}", SourcedFigure(metric[field], unit, f"{source}: {name}, {field}")
    yield from _derived({name: metric["value"] for name, metric in metrics.items()}, source)


def _derived(values: dict[str, float], source: str) -> Iterator[tuple[str, SourcedFigure]]:
    """Yield figures that follow from several metrics, as far as these were measured."""
    if all(f"stream_hop_{hop}" in values for hop in _HOPS) and "stream_latency_p50" in values:
        hops = sum(values[f"stream_hop_{hop}"] for hop in _HOPS)
        yield "bench.stream_hops", SourcedFigure(hops, "ms", f"{source}: sum of stream_hop_*")
        rest = values["stream_latency_p50"] - hops
        yield (
            "bench.stream_outside_hops",
            SourcedFigure(rest, "ms", f"{source}: stream_latency_p50 - sum of stream_hop_*"),
        )
    if all(f"step_{step}" in values for step in _PREVIEW_STEPS):
        steps = sum(values[f"step_{step}"] for step in _PREVIEW_STEPS)
        yield "bench.steps", SourcedFigure(steps, "µs", f"{source}: sum of the steps of a preview")
    if "replay" in values:
        yield "bench.replay_time", SourcedFigure(1e6 / values["replay"], "µs", f"{source}: 1 / replay")
        year = _YEAR_SECONDS * _RATE / values["replay"]
        yield "bench.replay_of_a_year", SourcedFigure(year, "s", f"{source}: a year at {_RATE:,} per second / replay")
    if "stream_sustained_lag" in values:
        wait = values["stream_sustained_lag"] / _SUSTAINED_RATE * 1e3
        yield "bench.sustained_wait", SourcedFigure(wait, "ms", f"{source}: stream_sustained_lag / {_SUSTAINED_RATE:,}")
    if "stream_backlog_rate" in values:
        catch_up = _HOUR_SECONDS * _RATE / (values["stream_backlog_rate"] - _RATE)
        yield "bench.catch_up", SourcedFigure(catch_up, "s", f"{source}: an hour at {_RATE:,} per second, backlog rate")


def study_figures(folder: Path = RESULTS) -> Iterator[tuple[str, SourcedFigure]]:
    """Yield figures of the other files of results: the gate, seeds of the demo, labels, training, data contract ..."""
    for name, derive in _STUDIES.items():
        rows = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        for field, value, unit in derive(rows):
            yield f"{name}.{field}", SourcedFigure(value, unit, f"benchmarks/results/{name}.json")


def _gate(rows: list[dict[str, Any]]) -> Iterator[tuple[str, float, str]]:
    by_kind = {row["kind"]: row for row in rows}
    for field, kind in (("equal", "equal, 2,000 cards, 7 days"), ("cheaper", "50 % cheaper, 2,000 cards, 7 days")):
        row = by_kind[kind]
        yield f"{field}.trials", row["trials"], ""
        yield f"{field}.worlds", row["worlds"], ""
        yield f"{field}.promoted", row["promoted"], ""
        yield f"{field}.promoted_share", row["promoted"] / row["trials"], ""


def _demo_seeds(rows: list[dict[str, Any]]) -> Iterator[tuple[str, float, str]]:
    yield "runs", len(rows), ""
    yield "closed", sum(row["closed"] for row in rows), ""
    yield "days_to_detection", mean(row["days_to_detection"] for row in rows), ""
    yield "days_to_promotion", mean(row["days_to_promotion"] for row in rows), ""
    regained = mean((swapped - after) / (before - after) for before, after, swapped in _precisions(rows))
    yield "regained", regained, ""


def _precisions(rows: list[dict[str, Any]]) -> Iterator[tuple[float, float, float]]:
    for row in rows:
        before, after, swapped = row["average_precision"]
        yield before, after, swapped


def _selective_labels(rows: list[dict[str, Any]]) -> Iterator[tuple[str, float, str]]:
    for field, share in (("two_percent", 0.02), ("ten_percent", 0.1)):
        [row] = [row for row in rows if (row["cards"], row["share"], row["confirmed_share"]) == (100_000, share, 0.0)]
        estimates = row["estimates"]
        yield f"{field}.truth", row["truth"]["average_precision"], ""
        for name, method in (
            ("silence", "silence counts as genuine"), ("left_out", "censored rows left out"),
            ("weighted", "control rows weighted"),
        ):  # fmt: skip
            yield f"{field}.{name}", estimates[method]["average_precision"]["mean"], ""
        frauds = estimates["control rows weighted"]["frauds"]
        yield f"{field}.deviation", frauds["deviation"] / row["truth"]["frauds"], ""
        yield f"{field}.control_rows", row["control_rows"], ""
        yield f"{field}.price_eur", row["price_minor"]["mean"] / 100, ""


def _training(rows: list[dict[str, Any]]) -> Iterator[tuple[str, float, str]]:
    names = {
        "trees": "five folds, beta", "isotonic": "a fifth of the cards, isotonic", "logistic": "logistic regression",
    }  # fmt: skip
    yield "worlds", len(rows), ""
    for field, model in names.items():
        for metric in ("average_precision", "cost", "alerts", "distinct"):
            yield f"{field}.{metric}", mean(row["models"][model][metric] for row in rows), ""


def _data_contract(rows: list[dict[str, Any]]) -> Iterator[tuple[str, float, str]]:
    quiet = [row for row in rows if row["kind"] != "fault"]
    faults = [row for row in rows if row["kind"] == "fault"]
    late = [row for row in faults if row["delay"] != 0]
    yield "quiet_days", sum(row["checked"] for row in quiet), ""
    yield "quiet_quarantined", sum(row["quarantined"] for row in quiet), ""
    yield "faults", len({row["scenario"] for row in faults}), ""
    yield "faults_found_at_once", len({row["scenario"] for row in faults} - {row["scenario"] for row in late}), ""
    yield "latest_delay", max(row["delay"] for row in faults), ""


def _feature_drift(rows: list[dict[str, Any]]) -> Iterator[tuple[str, float, str]]:
    for field, changes in (("calm", False), ("changed", True)):
        shares = [max(row["shares"].values()) for row in rows if row["changes"] is changes]
        yield f"{field}.largest", max(shares), ""
        yield f"{field}.smallest_maximum", min(shares), ""


def _merchant_compromise(rows: list[dict[str, Any]]) -> Iterator[tuple[str, float, str]]:
    yield "worlds", len(rows), ""
    yield "gain", mean(mean(row["now"]) - mean(row["before"]) for row in rows), ""


_STUDIES: Final = {
    "gate": _gate, "demo_seeds": _demo_seeds, "selective_labels": _selective_labels, "training": _training,
    "data_contract": _data_contract, "feature_drift": _feature_drift, "merchant_compromise": _merchant_compromise,
}  # fmt: skip


def demo_figures(picture: Path = PICTURE) -> Iterator[tuple[str, SourcedFigure]]:
    """Yield the figures of the final screen of the demo, as its picture shows them."""
    lines = _lines(picture)
    source = f"docs/images/{picture.name}"

    def numbers(label: str, count: int) -> list[float]:
        found = [line.removeprefix(label) for line in lines if line.startswith(label)]
        values = [_value(text) for text in _NUMBER.findall(found[-1])] if found else []
        if len(values) < count:
            raise TourError(f"{source}: no line {label!r} with {count} numbers")
        return values[:count]

    for name, label in (
        ("average_precision", "average precision "), ("recall", "recall at 0.1 % false positives "),
        ("alarms_per_fraud", "alerts per fraud caught "),
    ):  # fmt: skip
        for period, value in zip(_PERIODS, numbers(label, 3), strict=True):
            yield f"demo.{name}.{period}", SourcedFigure(value, "", source)
    for name, label in (("frauds_caught", "frauds caught "), ("value_caught", "value caught ")):
        counted = numbers(label, 6)
        for period, share in zip(_PERIODS, counted[1::2], strict=True):
            yield f"demo.{name}.{period}", SourcedFigure(share / 100, "", source)
    for name, value in zip(("p50", "p95", "p99", "p999"), numbers("latency p50, p95, p99, p99.9 ", 4), strict=True):
        yield f"demo.{name}", SourcedFigure(value, "ms", source)
    singles = {
        "days_to_detection": "change to detection ", "days_to_promotion": "detection to promotion ",
        "transactions": "transactions in the log, decided", "degraded": "degraded decisions ",
    }  # fmt: skip
    for name, label in singles.items():
        yield f"demo.{name}", SourcedFigure(numbers(label, 1)[0], "", source)
    lost, duplicates = numbers("lost, duplicate decisions ", 2)
    yield "demo.lost", SourcedFigure(lost, "", source)
    yield "demo.duplicates", SourcedFigure(duplicates, "", source)
    yield "demo.rate", SourcedFigure(numbers("decisions per second ", 2)[1], "", source)
    saved, _, bound = numbers("saves ", 3)
    yield "demo.saved", SourcedFigure(saved / 100, "", source)
    yield "demo.saved_at_least", SourcedFigure(bound / 100, "", source)
    minutes, seconds = numbers("the demo took ", 2)
    yield "demo.minutes", SourcedFigure(minutes + seconds / 60, "", source)


def _lines(picture: Path) -> list[str]:
    """Return the picture's texts, those of one height as one line."""
    rows: dict[float, list[tuple[float, str]]] = {}
    text = picture.read_text(encoding="utf-8")
    for x, y, words in re.findall(r'<text[^>]*?x="([\d.]+)"[^>]*?y="([\d.]+)"[^>]*>([^<]*)</text>', text):
        rows.setdefault(float(y), []).append((float(x), html.unescape(words).replace("\xa0", " ")))
    return [" ".join("".join(words for _, words in sorted(rows[y])).split()).lstrip("·✓ ") for y in sorted(rows)]


def _value(text: str) -> float:
    plain = text.replace(",", "")
    return float(plain) if "." in plain else int(plain)
