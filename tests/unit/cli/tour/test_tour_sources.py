"""Each figure comes from its one source: files of results, the demo's picture, the code, a page."""

from __future__ import annotations

import json
from math import ceil
from pathlib import Path

import pytest

from cardwatch.estimator.stream_design import REPLICAS, UTILIZATION
from cli.tour.catalogue import figures, quoted_figures
from cli.tour.measured import benchmark_figures, demo_figures
from cli.tour.reading import ROOT, TourError
from services.scoring.http.admission import MAX_PENDING
from services.scoring.model.manager import POLL_SECONDS
from services.stream.__main__ import SCORING_DEADLINE_SECONDS
from services.stream.loop import MAX_RECORDS

HOPS = {"fold": 1.0, "score": 2.0, "policy": 0.5, "wait": 0.0, "commit": 6.0, "apply": 0.5}


def results(folder: Path, metrics: dict[str, dict[str, object]]) -> dict[str, float]:
    (folder / "latest.json").write_text(json.dumps({"machine": {}, "metrics": metrics}), encoding="utf-8")
    return {name: figure.value for name, figure in benchmark_figures(folder)}


def test_a_metric_gives_its_value_its_baseline_and_its_ratio(tmp_path: Path) -> None:
    metric = {"value": 30.0, "unit": "ms", "how": "a run", "baseline": 10.0, "ratio": 3.1}
    found = results(tmp_path, {"score": metric, "alone": {"value": 2.0, "unit": "s", "how": "a run"}})
    assert found == {"bench.score": 30.0, "bench.score.baseline": 10.0, "bench.score.ratio": 3.1, "bench.alone": 2.0}


def test_the_hops_of_a_decision_are_added_and_compared_with_the_whole(tmp_path: Path) -> None:
    metrics: dict[str, dict[str, object]] = {
        f"stream_hop_{hop}": {"value": value, "unit": "ms", "how": "a run"} for hop, value in HOPS.items()
    }
    metrics["stream_latency_p50"] = {"value": 18.0, "unit": "ms", "how": "a run"}
    found = results(tmp_path, metrics)
    assert (found["bench.stream_hops"], found["bench.stream_outside_hops"]) == (10.0, 8.0)


def test_what_follows_from_rates_is_computed(tmp_path: Path) -> None:
    rates = {"replay": 500_000.0, "stream_sustained_lag": 300.0, "stream_backlog_rate": 10_000.0}
    found = results(tmp_path, {name: {"value": each, "unit": "", "how": "a run"} for name, each in rates.items()})
    assert found["bench.replay_time"] == 2.0  # µs
    assert found["bench.replay_of_a_year"] == 63_072.0  # 365 days of 86,400 s at 1,000/s, over 500,000/s
    assert found["bench.sustained_wait"] == 20.0  # ms of traffic at 15,000/s
    assert found["bench.catch_up"] == 400.0  # 3.6 million at 9,000/s more than arrives


def test_a_picture_without_the_final_table_is_refused(tmp_path: Path) -> None:
    picture = tmp_path / "demo.svg"
    picture.write_text('<svg><text x="1" y="1">nothing</text></svg>', encoding="utf-8")
    with pytest.raises(TourError, match="no line 'average precision ' with 3 numbers"):
        list(demo_figures(picture))


def quoted(folder: Path, page: str, text: str, unit: str = "") -> float:
    file = folder / "quoted.yaml"
    file.write_text(json.dumps({"rows": {"page": page, "text": text, "unit": unit}}), encoding="utf-8")
    [(name, figure)] = quoted_figures(file)
    assert name == "quoted.rows"
    return figure.value


def test_a_figure_is_quoted_from_the_place_of_a_page(tmp_path: Path) -> None:
    page = "docs/verdict.md"
    assert quoted(tmp_path, page, "| 50 % cheaper, 2,000 cards, 7 days | ~ | # |") == 462
    assert quoted(tmp_path, page, "| 50 % cheaper, 2,000 cards, 7 days | ~ | ~ | #% |", "%") == pytest.approx(0.961)


@pytest.mark.parametrize(
    ("page", "text", "message"),
    [
        ("docs/gone.md", "# rows", r"quoted\.yaml: rows\.page: there is no file docs/gone\.md"),
        ("docs/verdict.md", "# elephants", r"quoted\.yaml: rows\.text: docs/verdict\.md has 0 places"),
        ("docs/verdict.md", "#", r"quoted\.yaml: rows\.text: docs/verdict\.md has \d+ places"),
    ],
)
def test_a_place_that_is_not_there_once_is_refused(tmp_path: Path, page: str, text: str, message: str) -> None:
    with pytest.raises(TourError, match=message):
        quoted(tmp_path, page, text)


def test_constants_that_are_read_from_source_text_are_those_of_the_services() -> None:
    known = figures()
    names = ("scoring_deadline", "model_poll", "max_pending", "max_batch")
    assert [known[f"code.{name}"].value for name in names] == [
        SCORING_DEADLINE_SECONDS,
        POLL_SECONDS,
        MAX_PENDING,
        MAX_RECORDS,
    ]


def test_capacity_follows_from_the_measured_processor_time() -> None:
    known = figures()
    workers = ceil(1_000_000 * known["bench.stream_worker_processor"].value / 1e6 / UTILIZATION)
    assert known["kafka.1000000.workers"].value == workers
    assert known["kafka.1000000.partitions"].value == 2 * workers
    by_bytes = 1_000_000 * known["bench.stream_log_bytes"].value * REPLICAS / known["code.broker_bytes"].value
    assert known["kafka.1000000.brokers_by_bytes"].value == ceil(by_bytes)
    cores = workers + known["kafka.1000000.scoring_workers"].value
    cores += known["kafka.1000000.brokers"].value * known["code.cores_per_broker"].value
    assert known["kafka.1000000.cores"].value == cores
    machines = known["kafka.1000000.machines"].value
    assert machines >= ceil(cores / 16)
    price = known["price.core_machine"].value
    assert known["kafka.1000000.core_dollars"].value == pytest.approx(machines * price * 730)
    items = ("core_dollars", "disk_dollars", "zone_dollars", "archive_dollars")
    dollars = sum(known[f"kafka.1000000.{item}"].value for item in items)
    assert known["kafka.1000000.per_million"].value == pytest.approx(dollars / (730 * 3_600))  # a million a second


def test_the_bills_are_those_of_the_page_about_costs() -> None:
    page = (ROOT / "docs" / "aws-costs.md").read_text(encoding="utf-8")
    bills = [figures()[f"aws.{rate}.dollars"].value for rate in (1_000, 50_000, 1_000_000)]
    assert f"| $ per month | {' | '.join(f'{each:,.0f}' for each in bills)} |" in page
