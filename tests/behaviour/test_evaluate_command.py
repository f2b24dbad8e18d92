"""`cardwatch evaluate` as a user runs it, on data that nobody here made."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from cardwatch.errors import MappingError, Misconfigured
from cardwatch.features.definitions import FAMILIES
from cli.evaluate import evaluate

HANDBOOK = Path(__file__).parents[2] / "examples" / "mappings" / "handbook.yaml"
MINIMAL = """
transaction:
  occurred_at: TX_DATETIME
  card_id: CUSTOMER_ID
  merchant_id: TERMINAL_ID
  amount: TX_AMOUNT
label:
  is_fraud: TX_FRAUD
"""
FIRST_DAY = np.datetime64("2018-04-01")
DAYS = 35
PROTOCOL = ("--train-days", "14", "--delay-days", "5", "--test-days", "7", "--folds", "2")  # 14 + 5 + 2 x 7 = 33 days


def handbook_like(*, cards: int, terminals: int, days: int, seed: int, bad_terminals_a_day: float) -> pa.Table:
    """Columns as the Fraud Detection Handbook's simulator writes them, its three kinds of fraud in a simpler form."""
    random = np.random.default_rng(seed)
    mean_amount = random.uniform(5, 100, cards)
    nearby = random.integers(0, terminals, (cards, 40))
    number = random.poisson(random.uniform(0, 4, (cards, 1)), (cards, days))
    card, day = (np.repeat(index.ravel(), number.ravel()) for index in np.indices(number.shape))
    seconds = np.clip(random.normal(43_200, 20_000, len(card)), 0, 86_399).astype(int)
    amount = np.abs(random.normal(mean_amount[card], mean_amount[card] / 2))
    terminal = nearby[card, random.integers(0, 40, len(card))]

    stolen = amount > 220
    for today in range(days):
        bad = random.integers(0, terminals, random.poisson(bad_terminals_a_day))
        stolen |= np.isin(terminal, bad) & (day >= today) & (day < today + 28)
        robbed = np.isin(card, random.integers(0, cards, 3)) & (day >= today) & (day < today + 14)
        robbed &= random.random(len(card)) < 1 / 3
        amount[robbed] *= 5
        stolen |= robbed

    order = np.lexsort((seconds, day))
    when = FIRST_DAY.astype("datetime64[s]") + (day * 86_400 + seconds)
    return pa.table(
        {
            "TRANSACTION_ID": np.arange(len(card)),
            "TX_DATETIME": pa.array(when[order], pa.timestamp("s")),
            "CUSTOMER_ID": card[order],
            "TERMINAL_ID": terminal[order],
            "TX_AMOUNT": np.round(amount[order], 2),
            "TX_FRAUD": stolen[order].astype(int),
        }
    )


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(evaluate, [str(argument) for argument in arguments])


def refusal(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, Misconfigured), result.output
    return str(result.exception)


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return handbook_like(cards=250, terminals=200, days=DAYS, seed=11, bad_terminals_a_day=0.1)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory, table: pa.Table) -> tuple[Result, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("evaluated")
    pyarrow.csv.write_csv(table, folder / "data.csv")
    result = run("--data", folder / "data.csv", "--mapping", HANDBOOK, "--output", folder / "out.json", *PROTOCOL)
    assert result.exit_code == 0, result.output
    return result, json.loads((folder / "out.json").read_text())


def test_the_detector_beats_chance_clearly(evaluated: tuple[Result, dict[str, Any]]) -> None:
    _, report = evaluated
    for fold in report["folds"]:
        share_of_fraud = fold["test"]["frauds"] / fold["test"]["rows"]
        assert fold["metrics"]["average_precision"] > 5 * share_of_fraud
        assert fold["metrics"]["roc_auc"] > 0.7
        assert fold["metrics"]["expected_cost"] < 0.9


def test_the_report_says_what_was_measured_on_what(evaluated: tuple[Result, dict[str, Any]], table: pa.Table) -> None:
    _, report = evaluated
    assert report["data"] == {
        "file": "data.csv",
        "rows": table.num_rows,
        "rejected": 0,
        "rejected_because": [],
        "left_out": 0,
        "frauds": int(table["TX_FRAUD"].to_numpy().sum()),
        "cards": len(set(table["CUSTOMER_ID"].to_pylist())),
        "first_day": "2018-04-01",
        "last_day": "2018-05-05",
        "currency": "EUR",
    }
    assert report["protocol"] == {
        "train_days": 14, "delay_days": 5, "test_days": 7, "folds": 2, "train_start": None,
    }  # fmt: skip
    # The newest test ends on 5 May; its training ends 7 + 5 days earlier, on 23 April, after 14 days.
    older, newest = report["folds"]
    assert (newest["train"]["first_day"], newest["train"]["last_day"]) == ("2018-04-10", "2018-04-23")
    assert (newest["test"]["first_day"], newest["test"]["last_day"]) == ("2018-04-29", "2018-05-05")
    assert (older["fold"], older["test"]["first_day"]) == (1, "2018-04-22")
    for name, value in newest["metrics"].items():
        assert report["mean"][name] == pytest.approx((value + older["metrics"][name]) / 2)
        # Of two values, the sample standard deviation is their distance over the root of 2.
        assert report["std"][name] == pytest.approx(abs(value - older["metrics"][name]) / 2**0.5)


def test_the_table_shows_every_fold_and_the_mean(evaluated: tuple[Result, dict[str, Any]]) -> None:
    result, report = evaluated
    lines = [line.split() for line in result.stdout.splitlines()]
    newest = report["folds"][1]
    shown = next(line for line in lines if line[:2] == ["2", "2018-04-29"])
    assert shown[2:6] == [
        f"{newest['test']['rows']:,}",
        str(newest["test"]["frauds"]),
        f"{newest['metrics']['roc_auc']:.3f}",
        f"{newest['metrics']['average_precision']:.3f}",
    ]
    assert f"{report['mean']['average_precision']:.3f}" in next(line for line in lines if line[:1] == ["mean"])


def test_compromised_cards_are_not_tested(evaluated: tuple[Result, dict[str, Any]], table: pa.Table) -> None:
    """As the Handbook's loop has it: known are the frauds of this fold from before the test day less the delay."""
    _, report = evaluated
    days = ((table["TX_DATETIME"].to_numpy() - FIRST_DAY) / np.timedelta64(1, "D")).astype(int)
    cards, fraud = table["CUSTOMER_ID"].to_numpy(), table["TX_FRAUD"].to_numpy() == 1
    for fold, train_from in zip(report["folds"], (2, 9), strict=True):
        tested, frauds, removed = 0, 0, 0
        for day in range(train_from + 19, train_from + 26):
            known = np.unique(cards[fraud & (days >= train_from) & (days < day - 5)])
            today, compromised = days == day, np.isin(cards, known)
            tested += int((today & ~compromised).sum())
            frauds += int((today & ~compromised & fraud).sum())
            removed += int((today & compromised).sum())
        assert (fold["test"]["rows"], fold["test"]["frauds"], fold["removed_rows"]) == (tested, frauds, removed)
        assert removed > 0


def test_families_are_left_out_one_by_one_in_the_very_same_fold(tmp_path: Path) -> None:
    small = handbook_like(cards=60, terminals=50, days=DAYS, seed=11, bad_terminals_a_day=0.1)
    pq.write_table(small, tmp_path / "data.parquet")
    arguments = ("--data", tmp_path / "data.parquet", "--mapping", HANDBOOK, "--output", tmp_path / "out.json")
    protocol = (*PROTOCOL, "--folds", "1")
    run(*arguments, *protocol)
    with_all = json.loads((tmp_path / "out.json").read_text())
    result = run(*arguments, *protocol, "--families")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "out.json").read_text())
    assert report | {"families": []} == with_all
    families = {row.pop("family"): row for row in report["families"]}
    assert list(families) == list(FAMILIES)
    for row in families.values():
        for name, difference in row["difference"]["mean"].items():
            assert difference == pytest.approx(row["without"]["mean"][name] - with_all["mean"][name])
    # The Handbook tells neither places nor earlier outcomes: without them everything is as it was, to the bit.
    for family in ("place", "earlier outcomes"):
        assert set(families[family]["difference"]["mean"].values()) == {0.0}
    # Its fraud is in the amounts and at bad terminals.
    assert families["merchant"]["difference"]["mean"]["average_precision"] < 0
    for family in FAMILIES:
        assert any(line.split()[: len(family.split())] == family.split() for line in result.stdout.splitlines()), family


def test_parquet_and_compressed_csv_give_the_very_same_results(
    evaluated: tuple[Result, dict[str, Any]], table: pa.Table, tmp_path: Path
) -> None:
    pq.write_table(table, tmp_path / "data.parquet")
    pyarrow.csv.write_csv(table, tmp_path / "data.csv")
    (tmp_path / "data.csv.gz").write_bytes(gzip.compress((tmp_path / "data.csv").read_bytes()))
    for name in ("data.parquet", "data.csv.gz"):
        run("--data", tmp_path / name, "--mapping", HANDBOOK, "--output", tmp_path / "out.json", *PROTOCOL)
        report = json.loads((tmp_path / "out.json").read_text())
        report["data"]["file"] = "data.csv"
        assert report == evaluated[1]


def test_five_columns_are_enough(tmp_path: Path, evaluated: tuple[Result, dict[str, Any]], table: pa.Table) -> None:
    """Ids made from row numbers serve as well: all else that the Handbook has is in the five."""
    pyarrow.csv.write_csv(table.drop_columns(["TRANSACTION_ID"]), tmp_path / "data.csv")
    (tmp_path / "mapping.yaml").write_text(MINIMAL)
    result = run(
        "--data", tmp_path / "data.csv", "--mapping", tmp_path / "mapping.yaml", "--output", tmp_path / "out.json",
        *PROTOCOL,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "out.json").read_text())["folds"] == evaluated[1]["folds"]


def dirty(tmp_path: Path, table: pa.Table) -> Path:
    """The data with three rows that do not fit: 2, 1001 and 2001 of the file."""
    path = tmp_path / "data.csv"
    pyarrow.csv.write_csv(table, path)
    lines = path.read_text().splitlines()
    fields = lines[1].split(",")
    lines[1] = ",".join([*fields[:4], '"12,50"', fields[5]])
    lines[1000] = lines[1000].replace(lines[1000].split(",")[2], "4111 1111 1111 1111", 1)
    lines[2000] = "1,2"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_dirty_row_ends_it_with_row_column_and_value(tmp_path: Path, table: pa.Table) -> None:
    data = dirty(tmp_path, table)
    assert refusal("--data", data, "--mapping", HANDBOOK, "--output", tmp_path / "out.json") == (
        f"{data}: row 2, column TX_AMOUNT: '12,50' is not a number; if it has decimal or thousands commas, say so under"
        " transaction.amount. (--on-error reject sets such rows aside instead.)"
    )
    assert not (tmp_path / "out.json").exists()


def test_dirty_rows_are_counted_and_set_aside_when_asked(tmp_path: Path, table: pa.Table) -> None:
    data, output = dirty(tmp_path, table), tmp_path / "out.json"
    result = run("--data", data, "--mapping", HANDBOOK, "--output", output, "--on-error", "reject", *PROTOCOL)
    assert result.exit_code == 0, result.output
    assert f"3 rows rejected, see {data}.rejects.csv" in result.stdout
    assert "  1 row: column CUSTOMER_ID: '***************1111' looks like a card number" in result.stdout
    assert "  1 row: has 2 columns, the header has 6 (first in row 2001)" in result.stdout
    facts = json.loads(output.read_text())["data"]
    assert (facts["rows"], facts["rejected"]) == (table.num_rows - 3, 3)
    with Path(f"{data}.rejects.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["row", "column", "value", "reason"],
            [
                "2",
                "TX_AMOUNT",
                "12,50",
                "is not a number; if it has decimal or thousands commas, say so under transaction.amount",
            ],
            # What looks like a card number is not copied.
            [
                "1001",
                "CUSTOMER_ID",
                "***************1111",
                "looks like a card number; put an opaque token in its place, or set tokenize",
            ],
            ["2001", "", "", "has 2 columns, the header has 6"],
        ]


def test_without_fraud_there_is_nothing_to_train_on(tmp_path: Path, table: pa.Table) -> None:
    column = table.schema.get_field_index("TX_FRAUD")
    pq.write_table(table.set_column(column, "TX_FRAUD", pa.array([0] * table.num_rows)), tmp_path / "data.parquet")
    arguments = ("--data", tmp_path / "data.parquet", "--mapping", HANDBOOK, "--output", tmp_path / "out.json")
    assert "0 are known to be fraud, and both kinds are needed" in refusal(*arguments, *PROTOCOL)


def test_too_few_days_are_told_with_what_the_protocol_needs(tmp_path: Path, table: pa.Table) -> None:
    pq.write_table(table, tmp_path / "data.parquet")
    message = refusal("--data", tmp_path / "data.parquet", "--mapping", HANDBOOK, "--output", tmp_path / "out.json")
    assert message == (
        "the data does not cover the protocol: 7 train + 7 delay + 7 test days in 4 folds need 42 days,"
        " and the data has 2018-04-01 to 2018-05-05 (35 days)"
    )


def test_the_data_is_never_overwritten(tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("a,b\n1,2\n")
    assert refusal("--data", data, "--mapping", HANDBOOK, "--output", data) == (
        f"--output {data} would overwrite the data"
    )
    assert data.read_text() == "a,b\n1,2\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "none.csv", "--mapping", HANDBOOK), "Invalid value for '--data': File 'none.csv' does not exist."),
        (("--data", ".", "--mapping", HANDBOOK), "Invalid value for '--data': File '.' is a directory."),
        (("--data", HANDBOOK), "Missing option '--mapping', or '--preset'."),
        (("--data", HANDBOOK, "--mapping", HANDBOOK, "--rejects", "x"), "--rejects needs --on-error reject"),
    ],
)
def test_wrong_arguments_are_told_apart(arguments: tuple[str | Path, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_an_unreadable_mapping_is_a_mapping_error(tmp_path: Path) -> None:
    (tmp_path / "mapping.yaml").write_bytes(b"\xff\xfe")
    result = run("--data", HANDBOOK, "--mapping", tmp_path / "mapping.yaml", "--output", tmp_path / "out.json")
    assert isinstance(result.exception, MappingError)
    assert "is not UTF-8 text" in str(result.exception)
