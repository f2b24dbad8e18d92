"""`cardwatch simulate` as a user runs it, and its file in `cardwatch evaluate`."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from cardwatch.errors import Misconfigured
from cli.evaluate import evaluate
from cli.evaluate.mapping_file import load_mapping
from cli.simulate import COLUMNS, simulate

MAPPING = Path(__file__).parents[2] / "examples" / "mappings" / "simulated.yaml"
DAYS = 30


def simulating(out: Path, *arguments: str) -> Result:
    return CliRunner().invoke(simulate, ["--out", str(out), "--cards", "300", "--days", str(DAYS), *arguments])


def table_of(out: Path, *arguments: str) -> pa.Table:
    result = simulating(out, *arguments)
    assert result.exit_code == 0, result.output
    return pq.read_table(out)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world") / "world.parquet"
    table_of(out)
    return out


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(world: Path, tmp_path: Path) -> None:
    table_of(tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == world.read_bytes()
    assert not table_of(tmp_path / "other.parquet", "--seed", "8").equals(pq.read_table(world))


def test_all_days_are_there_in_order_and_all_fraud_has_become_known(world: Path) -> None:
    table = pq.read_table(world)
    times = table["occurred_at"].to_pylist()
    assert times == sorted(times)
    assert (times[0].date(), times[-1].date()) == (date(2025, 1, 6), date(2025, 2, 4))  # 30 days
    assert pc.sum(table["is_fraud"]).as_py() > 10
    assert table["is_fraud"].equals(pc.is_valid(table["observed_at"]))
    frauds = table.filter(table["is_fraud"])
    assert pc.all(pc.greater(frauds["observed_at"], frauds["occurred_at"])).as_py()
    assert max(frauds["observed_at"].to_pylist()) > times[-1]  # known after the last day, and yet told


def test_a_change_leaves_the_days_before_it_as_they_were(world: Path, tmp_path: Path) -> None:
    unchanged, changed = pq.read_table(world), table_of(tmp_path / "changed.parquet", "--change-after", "20")
    assert before_the_change(changed).equals(before_the_change(unchanged))
    assert changed.num_rows != unchanged.num_rows


def before_the_change(table: pa.Table) -> pa.Table:
    return table.filter(pc.less(table["occurred_at"], pa.scalar(datetime(2025, 1, 26, tzinfo=UTC))))  # day 20


def evaluating(world: Path, output: Path, *protocol: str) -> Result:
    return CliRunner().invoke(
        evaluate, ["--data", str(world), "--mapping", str(MAPPING), "--output", str(output), *protocol]
    )


def test_evaluate_takes_it_with_every_field_that_features_rest_on(world: Path, tmp_path: Path) -> None:
    assert set(COLUMNS.names) - set(load_mapping(MAPPING).columns().values()) == {"currency", "customer_id"}
    output = tmp_path / "out.json"
    result = evaluating(world, output, "--train-days", "16", "--delay-days", "5", "--test-days", "8", "--folds", "1")
    assert result.exit_code == 0, result.output
    report, table = json.loads(output.read_text()), pq.read_table(world)
    assert report["data"]["rows"] == table.num_rows
    assert report["data"]["frauds"] == pc.sum(table["is_fraud"]).as_py()
    assert report["families"] == []
    [fold] = report["folds"]
    assert fold["metrics"]["average_precision"] > 20 * fold["test"]["frauds"] / fold["test"]["rows"]


def test_too_few_days_are_told_with_what_the_protocol_needs(world: Path, tmp_path: Path) -> None:
    result = evaluating(world, tmp_path / "out.json")
    assert isinstance(result.exception, Misconfigured)
    assert "need 75 days, and the data has 2025-01-06 to 2025-02-04 (30 days)" in str(result.exception)


def test_a_missing_folder_is_told_before_anything_is_simulated(tmp_path: Path) -> None:
    out = tmp_path / "none" / "world.parquet"
    result = simulating(out)
    assert isinstance(result.exception, Misconfigured)
    assert str(result.exception) == f"--out {out}: there is no folder {out.parent}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--change-after", "30"), "30 is not before the end, --days 30"),
        (("--days", "0"), "Invalid value for '--days'"),
        (("--cards", "10"), "Invalid value for '--cards'"),
    ],
)
def test_wrong_arguments_are_told_apart(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    result = simulating(tmp_path / "world.parquet", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "world.parquet").exists()
