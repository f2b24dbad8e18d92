"""`cardwatch simulate --decisions` as a user runs it, and `cardwatch evaluate` of rows whose outcome nobody knows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from cli.evaluate import evaluate
from cli.simulate import simulate
from cli.simulate.columns import DECIDED_COLUMNS, TRANSACTION_COLUMNS
from cli.simulate.files import TRANSACTIONS_FILE, TRUTH_FILE

MAPPINGS = Path(__file__).parents[2] / "examples" / "mappings"


def simulating(out: Path, *arguments: str) -> Result:
    return CliRunner().invoke(simulate, ["--out", str(out), "--cards", "300", "--days", "30", *arguments])


@pytest.fixture(scope="module")
def approved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("worlds") / "approved"
    assert simulating(out).exit_code == 0
    return out


@pytest.fixture(scope="module")
def decisions(approved: Path) -> pa.Table:
    """A rule that a shop could have: decline above 150 EUR online, challenge above 60 EUR online."""
    rows = pq.read_table(approved / TRANSACTIONS_FILE)
    is_online = pc.equal(rows["channel"], "ecommerce")
    declined = pc.and_(is_online, pc.greater(rows["amount_minor"], 15_000))
    challenged = pc.and_(is_online, pc.greater(rows["amount_minor"], 6_000))
    action = pc.if_else(declined, "decline", pc.if_else(challenged, "challenge", "approve"))
    return pa.table({"transaction_id": rows["transaction_id"], "action": action})


@pytest.fixture(scope="module")
def decided(approved: Path, decisions: pa.Table) -> Path:
    file, out = approved.parent / "decisions.parquet", approved.parent / "decided"
    pq.write_table(decisions, file)
    result = simulating(out, "--decisions", str(file))
    assert result.exit_code == 0, result.output
    return out


def test_decisions_change_the_labels_and_no_transaction(approved: Path, decided: Path, decisions: pa.Table) -> None:
    before, after = (pq.read_table(world / TRANSACTIONS_FILE) for world in (approved, decided))
    same = [name for name in TRANSACTION_COLUMNS.names if name not in ("is_fraud", "observed_at")]
    assert before.select(same).equals(after.select(same))
    assert (approved / TRUTH_FILE).read_bytes() == (decided / TRUTH_FILE).read_bytes()
    assert after["action"].equals(decisions["action"])
    is_approved = pc.equal(after["action"], "approve")
    labels = ["is_fraud", "observed_at"]
    assert before.filter(is_approved).select(labels).equals(after.filter(is_approved).select(labels))


def test_every_row_says_what_is_known_of_its_outcome(decided: Path) -> None:
    rows = pq.read_table(decided / TRANSACTIONS_FILE)
    assert rows.schema.equals(DECIDED_COLUMNS)
    state, action = np.array(rows["label_state"].to_pylist()), np.array(rows["action"].to_pylist())
    assert set(state) == {"known_fraud", "known_genuine", "presumed_genuine", "censored"}
    assert set(action[state == "censored"]) == {"decline"}
    assert "decline" not in action[state == "presumed_genuine"]
    # Customers answer for 60 % of what was declined, and nobody investigates the rest.
    declined = state[action == "decline"]
    assert np.mean(declined != "censored") == pytest.approx(0.6, abs=4 * (0.24 / len(declined)) ** 0.5)
    assert np.array_equal(state == "known_fraud", rows["is_fraud"].to_numpy())


def test_the_manifest_says_which_decisions_the_labels_follow_from(approved: Path, decided: Path) -> None:
    without, after = (json.loads((world / "labels.json").read_bytes()) for world in (approved, decided))
    assert (without["decisions"], without["others"], without["selection"]) == ("none", "approved", None)
    assert (after["decisions"], after["others"]) == ("decisions.parquet", "approved")
    assert len(after["sha256"]) == 64 and after["selection"]["confirmed_share"] == 0.6


def test_label_settings_say_how_much_is_learned_of_declined_payments(
    approved: Path, decisions: pa.Table, tmp_path: Path
) -> None:
    file, settings = tmp_path / "decisions.csv", tmp_path / "labels.yaml"
    pyarrow.csv.write_csv(decisions, file)
    settings.write_text("selection: {confirmed_share: 0, investigations_per_day: 0}\n")
    result = simulating(tmp_path / "silent", "--decisions", str(file), "--labels", str(settings))
    assert result.exit_code == 0, result.output
    rows = pq.read_table(tmp_path / "silent" / TRANSACTIONS_FILE)
    declined = rows.filter(pc.equal(rows["action"], "decline"))
    assert set(declined["label_state"].to_pylist()) == {"censored"}


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (
            "transaction_id,action\nt-99999-000000,decline\n",
            "such as 't-99999-000000': the file belongs to another seed",
        ),
        ("transaction_id,action\nt-00000-000000,block\n", "action is 'block', not one of approve, challenge, decline"),
        ("transaction_id,action\na,decline\na,approve\n", "1 transactions are named twice"),
        ("transaction_id,verdict\na,decline\n", "has no column action"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_and_nothing_is_left_behind(
    tmp_path: Path, content: str, refusal: str
) -> None:
    file = tmp_path / "decisions.csv"
    file.write_text(content)
    result = simulating(tmp_path / "world", "--decisions", str(file))
    assert result.exit_code != 0
    assert refusal in str(result.exception) + result.output
    assert not (tmp_path / "world").exists()


def evaluated(world: Path, mapping: str, output: Path) -> dict[str, object]:
    files = ["--data", str(world / TRANSACTIONS_FILE), "--mapping", str(MAPPINGS / mapping), "--output", str(output)]
    protocol = ["--train-days", "16", "--delay-days", "5", "--test-days", "8", "--folds", "1"]
    result = CliRunner().invoke(evaluate, [*files, *protocol])
    assert result.exit_code == 0, result.output
    [fold] = json.loads(output.read_bytes())["folds"]
    found: dict[str, object] = fold
    return found


def test_evaluate_neither_trains_on_censored_rows_nor_tests_them(decided: Path, tmp_path: Path) -> None:
    every = evaluated(decided, "simulated.yaml", tmp_path / "every.json")
    known = evaluated(decided, "simulated-decided.yaml", tmp_path / "known.json")
    censored = known["censored_rows"]
    assert every["censored_rows"] == 0 and isinstance(censored, int) and censored > 0
    assert known["test"]["rows"] + censored == every["test"]["rows"]  # type: ignore[index]
    assert known["test"]["frauds"] == every["test"]["frauds"]  # type: ignore[index]
    assert known["train"]["rows"] < every["train"]["rows"]  # type: ignore[index]
