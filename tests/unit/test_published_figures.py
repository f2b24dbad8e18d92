"""Every figure in README and docs that has a source here equals it: the last benchmarks, the picture of the demo, or a
constant of the code. A figure may be rounded to the digits that it shows. The page of the whiteboard is
generated from the same sources: tests/unit/cli/tour."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest
from msgspec import convert

from benchmarks.capacity import MeasuredCosts, capacity
from benchmarks.document import RESULTS
from benchmarks.harness import Metric
from cardwatch.features.definitions import FEATURES
from cardwatch.features.state import STATE
from services.scoring.http.admission import MAX_PENDING

ROOT = Path(__file__).resolve().parents[2]
NUMBER = r"[+-]?\d+(?:,\d{3})*(?:\.\d+)?"


def page(name: str) -> str:
    """The text of a page, with each run of white space as one space."""
    return " ".join((ROOT / name).read_text(encoding="utf-8").split())


@cache
def metrics() -> dict[str, dict[str, float]]:

    return json.loads(RESULTS.read_text(encoding="utf-8"))["metrics"]  # type: ignore[no-any-return]


@cache
def demo() -> str:
    """The texts of the demo's picture, line by line, with each run of spaces as one space."""
    lines: dict[float, list[tuple[float, str]]] = {}
    picture = (ROOT / "docs" / "images" / "demo.svg").read_text(encoding="utf-8")
    for x, y, text in re.findall(r'<text[^>]*?x="([\d.]+)"[^>]*?y="([\d.]+)"[^>]*>([^<]*)</text>', picture):
        lines.setdefault(float(y), []).append((float(x), html.unescape(text).replace("\xa0", " ")))
    return "\n".join(" ".join("".join(text for _, text in sorted(lines[y])).split()) for y in sorted(lines))


def in_demo(label: str, rest: str = r"[\d.,% ]*") -> list[str]:
    """The numbers after a label in the final table of the demo's picture; `rest` matches the rest of the line."""
    [line] = re.findall(rf"^{re.escape(label)} ?({rest})$", demo(), re.MULTILINE)
    return re.findall(NUMBER, line)


def equals(shown: str, value: float) -> bool:
    """Whether a figure is `value`, rounded to its decimals; zeros at the end of 10,000 and more may be rounding too."""
    figure = Decimal(shown.replace(",", ""))
    decimals = len(shown.partition(".")[2])
    zeros = len(shown) - len(shown.rstrip("0,")) - shown[len(shown.rstrip("0,")) :].count(",")
    unit = Decimal(10) ** (-decimals if decimals or figure < 10_000 else zeros)
    return abs(figure - Decimal(repr(value))) <= unit / 2


def figures(name: str, pattern: str) -> tuple[str, ...]:
    """The figures in the one place where `pattern` occurs in a page; `#` in the pattern stands for a figure."""
    found = re.findall(pattern.replace("#", f"({NUMBER})"), page(name))
    assert len(found) == 1, f"{name} has {len(found)} places like {pattern}"
    return found[0] if isinstance(found[0], tuple) else (found[0],)


def test_rounding_is_recognised_and_nothing_else_is() -> None:
    assert [equals(*pair) for pair in (("10", 9.7), ("1,460,000", 1_463_609.4), ("7.8", 7.761), ("1.00", 0.9956))] == [
        True
    ] * 4
    assert [
        equals(*pair) for pair in (("10", 9.4), ("1,470,000", 1_463_609.4), ("7.7", 7.761), ("16,319", 16_320))
    ] == [False] * 4


MEASURED = [
    ("README.md", r"one worker \| # \|", ["score_16_rate"]),
    ("README.md", r"to the bit \| # \|", ["replay"]),
    ("README.md", r"exactly-once \| # \|", ["stream_rate"]),
    ("docs/scoring.md", r"`/v1/score`, one connection: p50 \| # µs \| # µs \| # \|", ["score_one_p50", "/", "x"]),
    ("docs/scoring.md", r"16 connections: requests per second \| # \| # \| # \|", ["score_16_rate", "/", "x"]),
    ("docs/scoring.md", r"time of the server per request \| # µs \| # µs \| # \|", ["score_cpu", "/", "x"]),
    ("docs/scoring.md", r"half of our capacity, open loop \| # µs \| # µs \| # \|", ["score_half_p99", "/", "x"]),
    ("docs/scoring.md", r"64 transactions in a request, per second and worker \| # \|", ["score_batch_64"]),
    ("docs/scoring.md", r"500 feature rows in a request, per second and worker \| # \|", ["invocations_500"]),
    ("docs/scoring.md", r"start to ready \| # s \| # s \(empty BentoML service\) \| # \|", ["startup", "/", "x"]),
    (
        "docs/scoring.md",
        r"after 1,000,000 more requests, and before \| # MB \| # MB \(before\) \| # \|",
        ["scoring_memory", "/", "x"],
    ),
    (
        "docs/scoring.md",
        r"in Redis or Valkey: p50, requests per second \| # µs, # \|",
        ["score_valkey_p50", "score_valkey_16_rate"],
    ),
    ("docs/scoring.md", r"was at most # times the floor's", ["score_half_p99_worst x"]),
    ("docs/scoring.md", r"another card in every call the kernel takes # µs", ["fold_one"]),
    ("docs/scoring.md", r"other libraries, below: # µs, goal", ["predict_one_xgboost /"]),
    ("docs/scoring.md", r"in turn with the steps above the trees take # µs", ["step_margin"]),
    ("docs/training.md", r"scored in # µs.{,30}explained in # µs", ["step_margin", "contributions_one"]),
    ("docs/evidence.md", r"without the endpoint, took # ms, so the goal", ["function_batch"]),
    (
        "docs/streaming.md",
        r"relay, which is the floor, needs # µs of processor time where the worker needs # µs",
        ["stream_worker_processor /", "stream_worker_processor"],
    ),
    ("docs/runbook/store-behind.md", r"Embedded, a record takes # µs", ["batch_lmdb"]),
    ("docs/aws-costs.md", r"There # µs per transaction were measured", ["batch_lmdb"]),
    ("docs/aws-costs.md", r"`batch_ms` \| # \|", ["function_batch"]),
    ("docs/aws-costs.md", r"`rows_a_second_and_cpu` \| # \|", ["invocations_500"]),
    ("docs/scoring.md", r"in a request: # per second, goal", ["score_batch_64"]),
    ("docs/scoring.md", r"at 16 connections; ours answers #\.", ["baseline_mlflow"]),
    ("docs/scoring.md", r"`mlflow models serve` \| # \| # times", ["baseline_mlflow /", "x"]),
    ("docs/scoring.md", r"pydantic, pandas\) \| # \| # times \| at least 20 \| \| a t", ["baseline_bentoml /", "x"]),
    ("docs/scoring.md", r"FastAPI service \(pydantic, pandas\) \| # \| # times", ["baseline_fastapi /", "x"]),
    (
        "docs/scoring.md",
        r"\*\*ours\*\* \| \*\*# µs\*\*.{,20}\*\*# µs\*\*",
        ["predict_one_onnx /", "predict_512_onnx /"],
    ),
    ("docs/scoring.md", r"`inplace_predict` \| # µs \| # µs", ["predict_one_xgboost", "predict_512_xgboost"]),
    ("docs/scoring.md", r"ONNX Runtime \| # µs \| # µs", ["predict_one_onnx", "predict_512_onnx"]),
    ("docs/scoring.md", r"Treelite GTIL \| # µs \| # µs", ["predict_one_treelite", "predict_512_treelite"]),
    ("docs/scoring.md", r"contributions of one row: # µs, XGBoost's own #", ["contributions_one", "/"]),
    ("docs/aws.md", r"`cardwatch store rebuild`\): # million transactions per second and core", ["replay M"]),
]
"""Figures and the metrics that they repeat: `name` its value, `name /` its baseline, `name x` their ratio, `name M` its
value in millions; without a name, that of the metric before."""


@pytest.mark.parametrize(("name", "pattern", "sources"), MEASURED, ids=[f"{one[0]} {one[2][0]}" for one in MEASURED])
def test_a_measured_figure_is_that_of_the_last_benchmarks(name: str, pattern: str, sources: list[str]) -> None:
    shown = figures(name, pattern)
    values = list(values_of(sources))
    assert len(shown) == len(values)
    wrong = [(figure, value) for figure, value in zip(shown, values, strict=True) if not equals(figure, value)]
    assert wrong == []


def values_of(sources: list[str]) -> Iterator[float]:
    metric = ""
    for source in sources:
        words = source.split()
        metric = words[0] if words[0] in metrics() else metric
        field = {"/": "baseline", "x": "ratio"}.get(words[-1], "value")
        yield metrics()[metric][field] / (1e6 if words[-1] == "M" else 1.0)


STEPS = {
    "API key and scope": "key",
    "JSON to a transaction": "decode",
    "newest reference table": "table",
    "card state from LMDB": "state",
    "transaction as a kernel row": "encode",
    "kernel: 80 features": "fold",
    "300 trees of depth 6": "margin",
    "calibration": "probability",
    "cost policy": "action",
    "answer as JSON": "answer",
    "counters and histogram": "metrics",
}


IN_ONE_CALL = ("encode", "fold", "margin", "probability", "action")
"""Steps that the service makes in one compiled call, `step_decision`."""
ROUNDS_DIFFER = 0.15
TIED_ELSEWHERE = [
    *(("docs/scoring.md", rf"\| {step}[^|]*\| # µs \|") for step in STEPS),
    ("docs/scoring.md", r"sum of the steps \| # µs"),
    ("docs/scoring.md", r"without server and socket\*\* \| \*\*# µs"),
    ("docs/scoring.md", r"for what is not approved \| # µs"),
    ("docs/scoring.md", r"policy in one compiled call \| # µs"),
    ("docs/scoring.md", r"in place of its five steps \| # µs"),
    ("docs/scoring.md", r"the difference \| # µs"),
]
"""Places whose figures the tests below compare."""


def test_the_latency_budget_of_a_preview_adds_up() -> None:
    sum_us = 0.0
    for step, name in STEPS.items():
        value = metrics()[f"step_{name}"]["value"]
        [shown] = figures("docs/scoring.md", rf"\| {step}[^|]*\| # µs \|")
        assert equals(shown, value), step
        sum_us += value
    assert equals(*figures("docs/scoring.md", r"sum of the steps \| # µs"), sum_us)
    assert equals(
        *figures("docs/scoring.md", r"without server and socket\*\* \| \*\*# µs"), metrics()["step_whole"]["value"]
    )
    assert equals(*figures("docs/scoring.md", r"for what is not approved \| # µs"), metrics()["step_reasons"]["value"])
    call, whole = metrics()["step_decision"]["value"], metrics()["step_whole"]["value"]
    in_service = sum_us + call - sum(metrics()[f"step_{name}"]["value"] for name in IN_ONE_CALL)
    assert equals(*figures("docs/scoring.md", r"policy in one compiled call \| # µs"), call)
    assert equals(*figures("docs/scoring.md", r"in place of its five steps \| # µs"), in_service)
    assert equals(*figures("docs/scoring.md", r"the difference \| # µs"), whole - in_service)


def test_what_a_rate_needs_is_computed_from_the_last_benchmarks() -> None:
    costs = MeasuredCosts.of({name: convert(metric, Metric) for name, metric in metrics().items()})
    assert costs is not None
    [most, many] = [capacity(rate, costs) for rate in (1_000_000, 50_000)]
    assert figures("docs/streaming.md", r"is # workers and # scoring workers, a core each") == (
        str(most.workers),
        str(most.scoring_workers),
    )
    assert equals(*figures("docs/streaming.md", r"design ends: # GB/s of states"), most.store_mb_per_second / 1e3)
    assert many.workers == 4  # the page has it as a word
    assert equals(*figures("docs/streaming.md", r"a state of 2 kB, # MB/s"), many.store_mb_per_second)


def test_a_ratio_is_that_of_value_and_baseline_up_to_the_difference_between_rounds() -> None:
    """The median of ratios and the ratio of medians differ: a value that was replaced alone differs by more."""
    far = {
        name: (metric["ratio"], metric["value"] / metric["baseline"])
        for name, metric in metrics().items()
        if "baseline" in metric and abs(metric["ratio"] * metric["baseline"] / metric["value"] - 1) > ROUNDS_DIFFER
    }
    assert far == {}


ONE_MEASURED = rf"{NUMBER} (?:µs|rows per second|requests per second|transactions per second and core)"
"""Figures with a unit in which only benchmarks are stated."""
NOT_MEASURED = {
    "docs/verdict.md": ["50 µs"],  # a default of the policy file
}
GENERATED = {"docs/benchmarks.md", "docs/whiteboard.md"}


def test_every_time_in_microseconds_and_every_rate_on_a_page_is_tied_to_the_last_benchmarks() -> None:
    tied = [*MEASURED, *((page_, pattern, []) for page_, pattern in TIED_ELSEWHERE)]
    pages = ["README.md", *(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))]
    pages += [str(path.relative_to(ROOT)) for path in (ROOT / "docs" / "runbook").glob("*.md")]
    loose = []
    for name in sorted(set(pages) - GENERATED):
        text = page(name)
        spans = [
            found.span()
            for page_, pattern, _ in tied
            if page_ == name
            for found in re.finditer(pattern.replace("#", NUMBER), text)
        ]
        for found in re.finditer(ONE_MEASURED, text):
            is_tied = any(begin <= found.start() and found.end() <= end + len(" µs") for begin, end in spans)
            if not is_tied and found[0] not in NOT_MEASURED.get(name, []):
                loose.append(f"{name}: {text[max(0, found.start() - 60) : found.end()]}")
    assert loose == []


PRECISION = "average precision"
SHOWN_BY_THE_DEMO = [
    ("README.md", r"after the swap \(seed 7\) \| #, #, # \|", PRECISION, 3),
    ("docs/evidence.md", r"\| average precision \| # \| # \| # \|", PRECISION, 3),
    (
        "docs/evidence.md",
        r"\| recall at 0\.1 % false positives \| # \| # \| # \|",
        "recall at 0.1 % false positives",
        3,
    ),
    ("README.md", r"transactions decided twice, of # ", "transactions in the log, decided", 1),
    ("docs/evidence.md", r"\| decisions \| # transactions", "transactions in the log, decided", 1),
]


@pytest.mark.parametrize(("name", "pattern", "label", "count"), SHOWN_BY_THE_DEMO)
def test_a_figure_of_the_demo_is_that_of_its_picture(name: str, pattern: str, label: str, count: int) -> None:
    assert list(figures(name, pattern)) == in_demo(label)[:count]


def test_the_demo_s_days_latency_and_caught_value_are_those_of_its_picture() -> None:
    detection, promotion = (in_demo(label, ".*")[0] for label in ("change to detection", "detection to promotion"))
    assert figures("README.md", r"to promotion \| # and # \|") == (detection, promotion)
    assert figures("docs/evidence.md", r"to promotion \| # and # simulated days") == (detection, promotion)
    [p50, _, p99] = re.findall(rf"({NUMBER}) ms", re.findall(r"^latency p50.*$", demo(), re.MULTILINE)[0])[:3]
    for name, pattern in (
        ("README.md", r"p50, p99 \| # ms, # ms \|"),
        ("docs/evidence.md", r"p50, p99 \| # ms, # ms \|"),
    ):
        shown = figures(name, pattern)
        assert equals(shown[0], float(p50)), name
        assert equals(shown[1], float(p99)), name
    caught = re.findall(rf"\(({NUMBER})%\)", re.findall(r"^value caught.*$", demo(), re.MULTILINE)[0])
    assert list(figures("docs/evidence.md", r"value of fraud caught \| # % \| # % \| # %")) == caught


CONSTANTS = [
    ("README.md", r"computes all # features", len(FEATURES)),
    ("docs/scoring.md", r"\| kernel: # features", len(FEATURES)),
    ("docs/features.md", r"A feature row has # numbers", len(FEATURES)),
    ("docs/features.md", r"A card takes # bytes", STATE.itemsize),
    ("docs/aws-costs.md", r"`row_bytes` \| # \|", 4 * len(FEATURES)),
    ("docs/aws-costs.md", r"bytes \| # float32 values", len(FEATURES)),
    ("docs/aws-costs.md", r"a state of #, a pending decision", STATE.itemsize),
    ("docs/scoring.md", r"requests beyond # pending ones", MAX_PENDING),
]


@pytest.mark.parametrize(("name", "pattern", "value"), CONSTANTS)
def test_a_figure_of_the_design_is_that_of_the_code(name: str, pattern: str, value: float) -> None:
    assert equals(*figures(name, pattern), value)


def test_the_duration_of_the_demo_includes_the_measured_one() -> None:
    minutes, seconds = re.findall(r"the demo took (\d+):(\d+) min", demo())[0]
    for name, pattern in (
        ("README.md", r"retrain itself \(# to # min"),
        ("docs/evidence.md", r"of the run \| # to # min"),
    ):
        least, most = figures(name, pattern)
        assert int(least) <= int(minutes) + int(seconds) / 60 <= int(most), name
