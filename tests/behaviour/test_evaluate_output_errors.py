"""What `cardwatch evaluate` refuses about score columns, policies and outputs, each before anything is trained."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from cardwatch.errors import Misconfigured
from cli.evaluate.outputs import check_outputs, writing
from cli.evaluate.run import Summary
from cli.evaluate.score_columns import ScoreColumnResult, warnings
from tests.behaviour.test_evaluate_command import HANDBOOK, PROTOCOL, refusal, run

ROWS = 6
MASKED = "4111111111111111"


def data_with(tmp_path: Path, risk: list[str]) -> Path:
    """Six transactions with these scores, as they are written."""
    lines = ["TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD,risk"]
    lines += [f"{number},2018-04-01 12:00:0{number},c,t,1.00,0,{score}" for number, score in enumerate(risk)]
    (tmp_path / "data.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "data.csv"


def refused(data: Path, *more: str | Path) -> str:
    return refusal("--data", data, "--mapping", HANDBOOK, "--output", data.with_name("out.json"), *PROTOCOL, *more)


@pytest.mark.parametrize(
    ("score", "reason"),
    [
        ("", "is missing"),
        ("NaN", "is missing"),
        ("nan", "is missing"),
        ("null", "is missing"),
        ("inf", "'inf' is not a finite number, as a score must be"),
        ("-Infinity", "'-Infinity' is not a finite number, as a score must be"),
        ("1e999", "is beyond 10^12, which no score is; is the column an identifier?"),
        ('"0,5"', "'0,5' is not a finite number, as a score must be"),
        ("high", "'high' is not a finite number, as a score must be"),
        ("true", "'true' is not a finite number, as a score must be"),
        ("0x1", "'0x1' is not a finite number, as a score must be"),
    ],
)
def test_a_score_that_is_no_finite_number_is_named_with_file_row_and_column(
    tmp_path: Path, score: str, reason: str
) -> None:
    data = data_with(tmp_path, ["0.1", "-3", "1e-20", score, "5", "0.5"])
    message = refused(data, "--score-column", "risk")
    assert message.startswith(f"{data}: row 5, column risk: ")
    assert reason in message


@pytest.mark.parametrize("number", [MASKED, f"{MASKED}.0", "4.111111111111111e15", f"-{MASKED}"])
def test_a_column_of_card_numbers_is_refused_as_scores_and_not_shown(tmp_path: Path, number: str) -> None:
    data = data_with(tmp_path, [number] * ROWS)
    message = refused(data, "--score-column", "risk")
    assert "is beyond 10^12, which no score is; is the column an identifier?" in message
    assert number not in message


@pytest.mark.parametrize("value", [None, np.nan, np.inf])
def test_a_missing_score_in_parquet_is_named_too(tmp_path: Path, value: float | None) -> None:
    pq.write_table(
        pyarrow.csv.read_csv(data_with(tmp_path, ["1"] * ROWS))
        .drop_columns(["risk"])
        .append_column("risk", pa.array([0.5, 0.25, value, 1.0, 2.0, 3.0], pa.float64())),
        tmp_path / "data.parquet",
    )
    data = tmp_path / "data.parquet"
    assert refused(data, "--score-column", "risk").startswith(f"{data}: row 3, column risk: ")


def test_rows_with_a_faulty_score_can_be_set_aside(tmp_path: Path) -> None:
    data = data_with(tmp_path, ["0.1", "", "x", "1", "2", "3"])
    result = run(
        "--data", data, "--mapping", HANDBOOK, "--output", tmp_path / "out.json", "--score-column", "risk",
        "--on-error", "reject", *PROTOCOL,
    )  # fmt: skip
    assert "4 transactions of 1 cards" in result.stdout
    assert (tmp_path / "data.csv.rejects.csv").read_text().splitlines()[1:] == [
        "3,risk,,is missing",
        '4,risk,x,"is not a finite number, as a score must be"',
    ]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            ["rsik"],
            "--score-column rsik: there is no column 'rsik'; did you mean 'risk'? Its columns: TRANSACTION_ID, ",
        ),
        (["TX_FRAUD"], "--score-column TX_FRAUD is label.is_fraud too; a score must not know the label"),
        (["risk", "risk"], "--score-column risk is given twice"),
    ],
)
def test_a_score_column_that_cannot_be_meant_is_refused(tmp_path: Path, columns: list[str], message: str) -> None:
    data = data_with(tmp_path, ["1"] * ROWS)
    assert message in refused(data, *(part for column in columns for part in ("--score-column", column)))


def test_a_score_column_that_the_file_has_twice_is_refused(tmp_path: Path) -> None:
    data = data_with(tmp_path, ["1"] * ROWS)
    data.write_text(data.read_text().replace("TX_FRAUD,risk", "TX_FRAUD,risk,risk").replace(",1\n", ",1,2\n"))
    assert "2 columns are called 'risk'" in refused(data, "--score-column", "risk")


def test_scores_that_rank_the_wrong_way_round_are_pointed_out() -> None:
    results = [
        ScoreColumnResult(column=name, folds=[], mean={"roc_auc": area}, std={}, difference=Summary(mean={}, std={}))
        for name, area in (("good", 0.8), ("reversed", 0.2), ("unknown", None))
    ]
    assert [warning.partition(":")[0] for warning in warnings(results)] == ["reversed"]


def test_costs_in_another_currency_are_refused(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text('currency = "JPY"\n')
    message = refused(data_with(tmp_path, ["1"] * ROWS), "--policy", tmp_path / "policy.toml")
    assert "its costs are in JPY, and the amounts of the data are in EUR; nothing converts them" in message


@pytest.mark.parametrize(
    "content", ["[decision]\nchalenge_cost_minor = 1\n", "decision: {}\n", "[decision]\nlost_margin = 2\n"]
)
def test_a_policy_that_cannot_be_used_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "policy.toml").write_text(content)
    message = refused(data_with(tmp_path, ["1"] * ROWS), "--policy", tmp_path / "policy.toml")
    assert message.startswith(f"policy file {tmp_path / 'policy.toml'}: ")


@pytest.mark.parametrize("level", ["nan", "95", "0", "1"])
def test_a_level_of_confidence_outside_its_range_is_refused(tmp_path: Path, level: str) -> None:
    result = run("--data", HANDBOOK, "--mapping", HANDBOOK, "--confidence", level)
    assert result.exit_code == 2
    assert "--confidence" in result.stderr


@pytest.mark.parametrize("option", ["--output", "--scores", "--report"])
def test_no_output_overwrites_an_input_or_another_output(tmp_path: Path, option: str) -> None:
    data = data_with(tmp_path, ["1"] * ROWS)
    content = data.read_bytes()
    (tmp_path / "policy.toml").write_text("")
    (tmp_path / "link.csv").symlink_to(data)
    os.link(data, tmp_path / "hard.csv")
    common = ["--data", data, "--mapping", HANDBOOK, "--policy", tmp_path / "policy.toml"]
    for name, meaning in (
        ("data.csv", "the data"),
        ("link.csv", "the data"),
        ("hard.csv", "the data"),
        ("policy.toml", "the policy"),
    ):
        assert refusal(*common, option, tmp_path / name) == f"{option} {tmp_path / name} would overwrite {meaning}"
    assert refusal(*common, option, HANDBOOK) == f"{option} {HANDBOOK} would overwrite the mapping"
    other = "--report" if option != "--report" else "--scores"
    message = refusal(*common, option, tmp_path / "x", other, tmp_path / "x")
    assert "would overwrite --" in message
    assert refusal(*common, option, tmp_path / "no" / "x").endswith(f"there is no folder {tmp_path / 'no'}")
    assert data.read_bytes() == content


def test_two_outputs_may_go_to_a_device() -> None:
    null = Path(os.devnull)
    check_outputs({"the data": None}, {"--scores": null, "--report": null})
    with writing("--report", null) as place:
        place.write_text("nothing")
    assert null.is_char_device()


def test_a_failure_while_writing_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    path.write_text("old")
    path.chmod(0o640)
    reason = r"--scores .*scores\.parquet: cannot be written: No space left"
    with pytest.raises(Misconfigured, match=reason), writing("--scores", path) as place:
        place.write_text("half")
        raise OSError(28, "No space left on device")
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["scores.parquet"]
    with writing("--scores", path) as place:
        place.write_text("new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("option", ["--output", "--scores", "--report", "--rejects", "--data"])
def test_a_name_that_is_not_utf_8_is_refused_before_anything_is_read(tmp_path: Path, option: str) -> None:
    """Linux allows such names, and the libraries of Parquet and JSON do not."""
    name = tmp_path / os.fsdecode(b"caf\xe9")
    data = data_with(tmp_path, ["1"] * ROWS)
    data.with_name(name.name).write_bytes(data.read_bytes())
    arguments = {"--data": data, "--mapping": HANDBOOK, "--output": tmp_path / "out.json", "--on-error": "reject"}
    message = refusal(*(part for pair in (arguments | {option: name}).items() for part in pair))
    assert message.startswith("the data " if option == "--data" else f"{option} ")
    assert message.endswith(f"{str(name)!r}: the name is not UTF-8; choose or link another one")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("rows", [ROWS, 2_000])
def test_a_full_disk_is_told_with_the_file_of_rejected_rows(tmp_path: Path, rows: int) -> None:
    data = data_with(tmp_path, ["1"] * rows)
    message = refused(data, "--on-error", "reject", "--rejects", "/dev/full")
    assert message.startswith(
        "/dev/full: cannot be written: No space left on device; choose another place with --rejects"
    )
