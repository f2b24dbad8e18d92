"""What `cardwatch evaluate` gives besides its table: other scores, a policy, intervals, scored rows, a report."""

import json
import stat
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from click.testing import Result
from sklearn.metrics import average_precision_score, roc_auc_score

from models.evaluation import card_precision
from tests.behaviour.test_evaluate_command import DAYS, FIRST_DAY, HANDBOOK, MINIMAL, PROTOCOL, handbook_like, run

POLICY = """
currency = "EUR"

[decision]
challenge_cost_minor = 900
challenge_stops_fraud = 0.5
decline_cost_minor = 4000
"""
K = 5
POINTS = "[/b] <i>points"
"""A name that would be markup in the terminal and in the report."""


def with_scores(table: pa.Table) -> pa.Table:
    """The data with two models' scores: `risk` is a noisy probability, `points` are whole numbers with many ties."""
    random = np.random.default_rng(3)
    is_fraud = table["TX_FRAUD"].to_numpy()
    risk = 1 / (1 + np.exp(5 - 2.2 * is_fraud - random.normal(0, 1, len(is_fraud))))
    points = np.round(random.normal(5, 1, len(is_fraud)) + 1.5 * is_fraud).astype(int)
    return table.append_column("risk", pa.array(risk)).append_column(POINTS, pa.array(points))


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return with_scores(handbook_like(cards=150, terminals=120, days=DAYS, seed=11, bad_terminals_a_day=0.1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, table: pa.Table) -> Path:
    folder = tmp_path_factory.mktemp("evaluated")
    pyarrow.csv.write_csv(table, folder / "data.csv")
    (folder / "policy.toml").write_text(POLICY)
    return folder


def arguments(folder: Path, *more: str | Path) -> list[str | Path]:
    return ["--data", folder / "data.csv", "--mapping", HANDBOOK, "--output", folder / "out.json", *PROTOCOL, *more]


@pytest.fixture(scope="module")
def plain(folder: Path) -> dict[str, Any]:
    """The figures without any of the options."""
    output = folder / "plain.json"
    result = run("--data", folder / "data.csv", "--mapping", HANDBOOK, "--output", output, *PROTOCOL)
    assert result.exit_code == 0, result.output
    return json.loads(output.read_text())


@pytest.fixture(scope="module")
def evaluated(folder: Path) -> tuple[Result, dict[str, Any]]:
    result = run(
        *arguments(folder, "--score-column", "risk", "--score-column", POINTS, "--policy", folder / "policy.toml"),
        "--card-precision-k", str(K), "--confidence", "0.9",
        "--scores", folder / "scores.parquet", "--report", folder / "report.html",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return result, json.loads((folder / "out.json").read_text())


@pytest.fixture(scope="module")
def scored(evaluated: tuple[Result, dict[str, Any]], folder: Path) -> pa.Table:
    return pq.read_table(folder / "scores.parquet")


def test_scored_rows_are_the_tested_rows_of_the_file(
    scored: pa.Table, table: pa.Table, evaluated: tuple[Result, dict[str, Any]]
) -> None:
    assert scored.schema.names == [
        "row", "occurred_at", "card_id", "is_fraud", "fold", "score", "probability", "action", "score_risk",
        f"score_{POINTS}",
    ]  # fmt: skip
    assert scored.schema.field("occurred_at").type == pa.timestamp("ms", "UTC")
    line = scored["row"].to_numpy() - 2  # the header is row 1
    assert len(np.unique(line)) == len(line)
    assert scored["card_id"].to_pylist() == [str(card) for card in table["CUSTOMER_ID"].take(line).to_pylist()]
    assert (
        scored["occurred_at"]
        .cast(pa.int64())
        .equals(table["TX_DATETIME"].take(line).cast(pa.timestamp("ms")).cast(pa.int64()))
    )
    np.testing.assert_array_equal(scored["is_fraud"], table["TX_FRAUD"].take(line).to_numpy() == 1)
    np.testing.assert_array_equal(scored["score_risk"], table["risk"].take(line))
    np.testing.assert_array_equal(scored[f"score_{POINTS}"], table[POINTS].take(line))
    for fold in evaluated[1]["folds"]:
        inside = scored["fold"].to_numpy() == fold["fold"]
        assert inside.sum() == fold["test"]["rows"]
        days = scored["occurred_at"].to_numpy()[inside].astype("datetime64[D]")
        assert (str(days.min()), str(days.max())) == (fold["test"]["first_day"], fold["test"]["last_day"])
    assert f"{scored.num_rows:,} scored rows" in evaluated[0].stdout


def test_scored_rows_can_be_read_by_pandas(scored: pa.Table, folder: Path) -> None:
    frame = pd.read_parquet(folder / "scores.parquet")
    assert list(frame.columns) == scored.schema.names
    assert set(frame["action"]) == set(scored["action"].to_pylist()) >= {"approve", "challenge"}


def fold_of(scored: pa.Table, number: int) -> dict[str, Any]:
    rows = scored.filter(pa.compute.equal(scored["fold"], number))
    return {name: rows[name].to_numpy() for name in rows.schema.names}


def test_every_metric_can_be_computed_again_from_the_scored_rows(
    scored: pa.Table, evaluated: tuple[Result, dict[str, Any]], table: pa.Table
) -> None:
    """Ours and theirs on exactly the same rows, by scikit-learn, and the cost by the policy's own numbers."""
    _, report = evaluated
    amounts = np.round(table["TX_AMOUNT"].to_numpy() * 100)
    stops, challenge, decline, margin = 0.5, 900, 4000, 0.05
    for place, fold in enumerate(report["folds"]):
        rows = fold_of(scored, fold["fold"])
        is_fraud = rows["is_fraud"]
        days = rows["occurred_at"].astype("datetime64[D]").astype(int)
        measured = {"score": fold["metrics"]} | {
            f"score_{column['column']}": column["folds"][place] for column in report["score_columns"]
        }
        assert list(measured) == ["score", "score_risk", f"score_{POINTS}"]
        for name, metrics in measured.items():
            assert metrics["rows"] == len(is_fraud)
            assert metrics["frauds"] == is_fraud.sum()
            assert metrics["average_precision"] == pytest.approx(average_precision_score(is_fraud, rows[name]))
            assert metrics["roc_auc"] == pytest.approx(roc_auc_score(is_fraud, rows[name]))
            share = card_precision(rows[name], is_fraud, ordered(rows["card_id"], table), days, cards_a_day=K)
            assert metrics[f"card_precision_at_{K}"] == pytest.approx(share)
            assert "card_precision_at_100" not in metrics
        amount = amounts[rows["row"] - 2]
        cost = {
            "approve": np.where(is_fraud, amount, 0),
            "challenge": np.where(is_fraud, (1 - stops) * amount, challenge),
            "decline": np.where(is_fraud, 0, decline + margin * amount),
        }
        incurred = sum(cost[action][rows["action"] == action].sum() for action in cost)
        assert fold["metrics"]["expected_cost"] == pytest.approx(incurred / cost["approve"].sum())


def ordered(cards: Sequence[str], table: pa.Table) -> list[int]:
    """Ties of card precision are resolved in the order in which cards first appear in the file."""
    firsts = {str(card): place for place, card in enumerate(dict.fromkeys(table["CUSTOMER_ID"].to_pylist()))}
    return [firsts[card] for card in cards]


def test_the_options_leave_the_other_figures_alone(
    plain: dict[str, Any], evaluated: tuple[Result, dict[str, Any]]
) -> None:
    _, report = evaluated
    changed = {"card_precision_at_100", f"card_precision_at_{K}", "expected_cost"}
    for one, other in zip(plain["folds"], report["folds"], strict=True):
        assert {name: value for name, value in one["metrics"].items() if name not in changed} == {
            name: value for name, value in other["metrics"].items() if name not in changed
        }
        assert one["test"] == other["test"]
        assert other["metrics"]["expected_cost"] != one["metrics"]["expected_cost"]
    assert (plain["score_columns"], plain["confidence"]) == ([], None)
    assert plain["policy"]["file"] is None
    assert report["policy"]["costs"]["challenge_cost_minor"] == 900
    assert report["policy"]["file"] == "policy.toml"


def test_differences_are_theirs_less_ours_in_pairs(evaluated: tuple[Result, dict[str, Any]]) -> None:
    _, report = evaluated
    for column in report["score_columns"]:
        for name, difference in column["difference"]["mean"].items():
            pairs = [
                theirs[name] - fold["metrics"][name]
                for theirs, fold in zip(column["folds"], report["folds"], strict=True)
            ]
            assert difference == pytest.approx(np.mean(pairs)), name
            assert column["difference"]["std"][name] == pytest.approx(np.std(pairs, ddof=1)), name


def test_intervals_lie_around_the_means_and_are_shown(evaluated: tuple[Result, dict[str, Any]]) -> None:
    result, report = evaluated
    confidence = report["confidence"]
    assert (confidence["level"], confidence["resamples"], confidence["note"]) == (0.9, 1000, None)
    for name, interval in confidence["mean"].items():
        assert interval["low"] < report["mean"][name] < interval["high"], name
        assert f"{interval['low']:.3f}" in result.stdout
    for column in report["score_columns"]:
        intervals = confidence["score_columns"][column["column"]]
        for name, interval in intervals["difference"].items():
            assert interval["low"] < column["difference"]["mean"][name] < interval["high"], name


class Page(HTMLParser):
    """What a page loads or links, and its table cells."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href", "data"}]


def test_the_report_shows_the_figures_and_needs_nothing_from_outside(
    evaluated: tuple[Result, dict[str, Any]], folder: Path
) -> None:
    _, report = evaluated
    html = (folder / "report.html").read_text(encoding="utf-8")
    page = Page(html)
    assert [address for address in page.addresses if not address.startswith("#")] == []
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert "://" not in html
    assert "url(" not in html.replace("url(#", "")
    assert page.tags.count("svg") == 3
    for name in ("average_precision", f"card_precision_at_{K}", "expected_cost"):
        interval = report["confidence"]["mean"][name]
        assert f"{report['mean'][name]:.3f}" in html
        assert f"{interval['low']:.3f} to {interval['high']:.3f}" in html
    assert "9.00 EUR" in html
    for column in ("risk", "[/b] &lt;i&gt;points"):
        assert column in html
    assert "<i>" not in html


def test_outputs_have_the_mode_of_any_new_file_and_nothing_else_is_left(
    evaluated: tuple[Result, dict[str, Any]], folder: Path
) -> None:
    (folder / "new").touch()
    expected = stat.S_IMODE((folder / "new").stat().st_mode)
    for name in ("out.json", "scores.parquet", "report.html"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == expected, name
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_tests_without_fraud_give_outputs_without_figures_and_without_card_numbers(tmp_path: Path) -> None:
    small = handbook_like(cards=60, terminals=50, days=DAYS, seed=11, bad_terminals_a_day=0.1)
    is_fraud = small["TX_FRAUD"].to_numpy() * (small["TX_DATETIME"].to_numpy() < FIRST_DAY + 28)
    numbers = [card_number(card) for card in small["CUSTOMER_ID"].to_pylist()]
    small = small.drop_columns(["TX_FRAUD", "CUSTOMER_ID"]).append_column("TX_FRAUD", pa.array(is_fraud))
    small = small.append_column("CUSTOMER_ID", pa.array(numbers))
    pyarrow.csv.write_csv(small.append_column("constant", pa.array([3] * len(is_fraud))), tmp_path / "data.csv")
    tokenized = MINIMAL.replace("card_id: CUSTOMER_ID", "card_id: {column: CUSTOMER_ID, tokenize: true}")
    (tmp_path / "mapping.yaml").write_text(tokenized)
    result = run(
        *arguments(tmp_path, "--mapping", tmp_path / "mapping.yaml", "--folds", "1", "--confidence", "0.95"),
        "--score-column", "constant", "--scores", tmp_path / "scores.parquet", "--report", tmp_path / "report.html",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["confidence"]["mean"] == {}
    assert report["confidence"]["note"].startswith("no intervals: the tests have fraud on 0 cards")
    assert report["score_columns"][0]["mean"]["average_precision"] is None
    assert report["mean"]["expected_cost"] is None
    scored = pq.read_table(tmp_path / "scores.parquet")
    assert scored.num_rows == report["folds"][0]["test"]["rows"]
    assert all(card.startswith("card-") for card in scored["card_id"].to_pylist())
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "No intervals: the tests have fraud on 0 cards" in html
    assert "nan" not in html
    for text in (html, (tmp_path / "out.json").read_text(), result.output):
        assert not any(number in text for number in numbers)


def card_number(card: int) -> str:
    """A number of 16 digits with a brand's prefix and a valid check digit."""
    digits = f"4{card:014d}"
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[::2])
    return digits + str(-(doubled + sum(int(digit) for digit in digits[1::2])) % 10)
