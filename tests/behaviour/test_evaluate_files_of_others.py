"""`cardwatch evaluate` on a file of another form: a preset, and a proposal that the same command takes."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cardwatch.errors import Misconfigured
from cli.evaluate import evaluate

PROTOCOL = ("--train-days", "10", "--delay-days", "3", "--test-days", "7", "--folds", "1")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(evaluate, [str(argument) for argument in arguments])


@pytest.fixture
def banksim(tmp_path: Path) -> Path:
    """A small file in BankSim's columns, in which fraud is of large amounts."""
    rng, rows = random.Random(5), []
    for step in range(25):
        for _ in range(40):
            fraud = rng.random() < 0.04
            amount = rng.uniform(300, 900) if fraud else rng.uniform(0, 90)
            rows.append(f"{step},'C{rng.randrange(60)}','4','M','28007','M{rng.randrange(12)}','28007','es_food',"
                        f"{amount:.2f},{int(fraud)}")  # fmt: skip
    path = tmp_path / "banksim.csv"
    head = "step,customer,age,gender,zipcodeOri,merchant,zipMerchant,category,amount,fraud"
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_a_proposal_is_taken_by_the_same_command_with_the_results_of_the_preset(banksim: Path, tmp_path: Path) -> None:
    proposal = run("--suggest", banksim)
    assert proposal.exit_code == 0, proposal.output
    (tmp_path / "mapping.yaml").write_text(proposal.stdout)
    by_preset = run("--data", banksim, "--preset", "banksim", "--output", tmp_path / "preset.json", *PROTOCOL)
    assert by_preset.exit_code == 0, by_preset.output
    assert by_preset.stdout.startswith("Note: BankSim has days without a time of day.\nbanksim.csv: 1,000 transactions")
    by_mapping = run(
        "--data", banksim, "--mapping", tmp_path / "mapping.yaml", "--output", tmp_path / "mapping.json", *PROTOCOL
    )
    assert by_mapping.exit_code == 0, by_mapping.output
    report = json.loads((tmp_path / "preset.json").read_text())
    assert report == json.loads((tmp_path / "mapping.json").read_text())
    assert report["data"]["first_day"] == "2012-11-01"
    assert report["mean"]["average_precision"] > 0.5


def test_a_format_that_lacks_cards_is_refused_with_status_and_reason(banksim: Path, tmp_path: Path) -> None:
    result = run("--data", banksim, "--preset", "baf", "--output", tmp_path / "out.json")
    assert isinstance(result.exception, Misconfigured)
    assert "--preset baf: refused." in str(result.exception)
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--preset", "handbook"), "Missing option '--data'."),
        (
            ("--data", __file__, "--mapping", __file__, "--preset", "paysim"),
            "--mapping and --preset exclude each other",
        ),
        (("--suggest", __file__, "--data", __file__), "--suggest FILE only prints a mapping: without --data"),
    ],
)
def test_options_that_exclude_each_other_are_told(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
