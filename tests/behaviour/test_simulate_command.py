"""`cardwatch simulate` as a user runs it, and its file in `cardwatch evaluate`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from cardwatch.errors import Misconfigured
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import SimulatedDay, Simulation
from cardwatch.simulation.transaction_array import Typology
from cli.evaluate import evaluate
from cli.evaluate.mapping_file import load_mapping
from cli.simulate import simulate
from cli.simulate.columns import TRANSACTION_COLUMNS, TRUTH_COLUMNS, DayTables
from cli.simulate.files import TRANSACTIONS_FILE, TRUTH_FILE, GroupWriter, write_world

MAPPING = Path(__file__).parents[2] / "examples" / "mappings" / "simulated.yaml"
DAYS = 30


def simulating(out: Path, *arguments: str) -> Result:
    return CliRunner().invoke(simulate, ["--out", str(out), "--cards", "300", "--days", str(DAYS), *arguments])


def table_of(out: Path, *arguments: str) -> pa.Table:
    result = simulating(out, *arguments)
    assert result.exit_code == 0, result.output
    return pq.read_table(out / TRANSACTIONS_FILE)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world") / "world"
    table_of(out)
    return out / TRANSACTIONS_FILE


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(world: Path, tmp_path: Path) -> None:
    table_of(tmp_path / "again")
    for name in (TRANSACTIONS_FILE, TRUTH_FILE):
        assert (tmp_path / "again" / name).read_bytes() == (world.parent / name).read_bytes()
    assert not table_of(tmp_path / "other", "--seed", "8").equals(pq.read_table(world))


def test_the_files_hold_what_the_records_of_the_same_simulation_say(world: Path) -> None:
    simulation = Simulation(SimulationSettings(seed=7, cards=300))
    days = [simulation.day(number) for number in range(DAYS)]
    rows = pq.read_table(world).to_pylist()
    transactions = [transaction for day in days for transaction in day.transactions]
    expected = msgspec.to_builtins(transactions, builtin_types=(datetime,))
    fields = TRANSACTION_COLUMNS.names[:-2]
    assert [{name: row[name] for name in fields} for row in rows] == [
        {name: row.get(name) for name in fields} for row in expected
    ]
    observed = {label.transaction_id: label.observed_at for day in days for label in day.labels if label.is_fraud}
    in_time = {row["transaction_id"]: row["observed_at"] for row in rows if row["transaction_id"] in observed}
    assert in_time == observed

    truth = pq.read_table(world.parent / TRUTH_FILE)
    assert truth.schema == TRUTH_COLUMNS
    assert truth["transaction_id"].to_pylist() == [row["transaction_id"] for row in rows]
    typologies = [true for day in days for true in day.truth]
    assert truth["typology"].to_pylist() == [true.typology.name.lower() for true in typologies]
    assert truth["campaign"].to_pylist() == [true.campaign for true in typologies]
    no_fraud = (Typology.GENUINE, Typology.FRIENDLY_FRAUD)
    assert truth["is_fraud"].to_pylist() == [true.typology not in no_fraud for true in typologies]


def test_row_groups_are_full_whatever_the_days_hold(tmp_path: Path) -> None:
    rows = [(first, size) for first, size in ((0, 5), (5, 200_000), (200_005, 0), (200_005, 100_000))]
    path = tmp_path / "numbers.parquet"
    writer = GroupWriter(path, pa.schema([("number", pa.int64())]))
    for first, size in rows:
        writer.write(pa.table({"number": pa.array(range(first, first + size), pa.int64())}))
    writer.close()
    with pq.ParquetFile(path) as file:
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        assert sizes == [131_072, 131_072, 37_861]
        assert file.read()["number"].to_pylist() == list(range(300_005))


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
    unchanged, changed = pq.read_table(world), table_of(tmp_path / "changed", "--change-after", "20")
    assert before_the_change(changed).equals(before_the_change(unchanged))
    assert changed.num_rows != unchanged.num_rows


def before_the_change(table: pa.Table) -> pa.Table:
    return table.filter(pc.less(table["occurred_at"], pa.scalar(datetime(2025, 1, 26, tzinfo=UTC))))  # day 20


def test_label_settings_change_when_fraud_is_known_and_nothing_else(world: Path, tmp_path: Path) -> None:
    file = tmp_path / "labels.yaml"
    file.write_text("chargeback_days: [30, 120]\nunreported_share: 0.3\nfalse_report_share: 0.001\n")
    table, usual = table_of(tmp_path / "late", "--labels", str(file)), pq.read_table(world)
    assert (tmp_path / "late" / TRUTH_FILE).read_bytes() == (world.parent / TRUTH_FILE).read_bytes()
    columns = [name for name in TRANSACTION_COLUMNS.names if name not in ("is_fraud", "observed_at")]
    assert table.select(columns).equals(usual.select(columns))
    assert pc.any(pc.and_(usual["is_fraud"], pc.invert(table["is_fraud"]))).as_py()  # never reported
    assert pc.any(pc.and_(pc.invert(usual["is_fraud"]), table["is_fraud"])).as_py()  # reported by mistake
    delays = pc.subtract(table["observed_at"].cast(pa.int64()), table["occurred_at"].cast(pa.int64()))
    assert pc.max(delays).as_py() > 30 * 86_400_000
    written = json.loads((tmp_path / "late" / "labels.json").read_bytes())
    assert (written["chargeback_days"], written["unreported_share"], written["maturity_days"]) == ([30, 120], 0.3, 116)
    assert json.loads((world.parent / "labels.json").read_bytes())["maturity_days"] == 5


def evaluating(world: Path, output: Path, *protocol: str) -> Result:
    return CliRunner().invoke(
        evaluate, ["--data", str(world), "--mapping", str(MAPPING), "--output", str(output), *protocol]
    )


def test_evaluate_takes_it_with_every_field_that_features_rest_on(world: Path, tmp_path: Path) -> None:
    assert set(TRANSACTION_COLUMNS.names) - set(load_mapping(MAPPING).columns().values()) == {"currency", "customer_id"}
    output = tmp_path / "out.json"
    result = evaluating(world, output, "--train-days", "16", "--delay-days", "5", "--test-days", "8", "--folds", "1")
    assert result.exit_code == 0, result.output
    report, table = json.loads(output.read_text()), pq.read_table(world)
    assert report["data"]["rows"] == table.num_rows
    assert report["data"]["frauds"] == pc.sum(table["is_fraud"]).as_py()
    assert report["families"] == []
    [fold] = report["folds"]
    assert fold["metrics"]["average_precision"] > 3 * fold["test"]["frauds"] / fold["test"]["rows"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("kind: duplicated_records, share: 0.1", "is the transaction_id of row"),
        ("kind: clock_shift, hours: 12", "is before the transaction that it is about"),
    ],
)
def test_evaluate_sets_faulty_records_aside_when_it_is_told_to(tmp_path: Path, fault: str, reason: str) -> None:
    timeline, out = tmp_path / "timeline.yaml", tmp_path / "world"
    timeline.write_text(f"events: [{{{fault}, name: fault, from_day: 3, until_day: 20, is_harmful: true}}]\n")
    table = table_of(out, "--timeline", str(timeline))
    data, protocol = out / TRANSACTIONS_FILE, ("--train-days", "10", "--test-days", "5", "--folds", "1")
    refused = evaluating(data, tmp_path / "out.json", *protocol)
    assert reason in str(refused.exception)
    assert "(--on-error reject sets such rows aside instead.)" in str(refused.exception)
    result = evaluating(data, tmp_path / "out.json", *protocol, "--on-error", "reject")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "out.json").read_bytes())["data"]
    [why] = report["rejected_because"]
    assert reason in why["reason"]
    assert report["rows"] + why["rows"] == table.num_rows


def test_evaluate_tells_recall_by_typology_with_the_truth(world: Path, tmp_path: Path) -> None:
    output, protocol = tmp_path / "out.json", ("--train-days", "10", "--test-days", "5", "--folds", "2")
    result = evaluating(world, output, *protocol, "--truth", str(world.parent / TRUTH_FILE))
    assert result.exit_code == 0, result.output
    report, truth = json.loads(output.read_text()), pq.read_table(world.parent / TRUTH_FILE)
    assert sum(one["frauds"] for one in report["typologies"]) == sum(fold["test"]["frauds"] for fold in report["folds"])
    assert {one["typology"] for one in report["typologies"]} <= set(truth["typology"].to_pylist()) - {"genuine"}
    assert all(one["typology"] in result.output for one in report["typologies"])

    other = tmp_path / "other.parquet"
    pq.write_table(truth.slice(5), other)
    refused = evaluating(world, output, *protocol, "--truth", str(other))
    assert str(refused.exception) == (
        f"--truth {other}: transaction 't-00000-000000' is not in it; is it the truth of other data?"
    )
    foreign = truth.set_column(1, "typology", pa.chunked_array([truth["typology"].to_pylist()[::-1]]))
    pq.write_table(foreign, other)
    refused = evaluating(world, output, *protocol, "--truth", str(other))
    assert str(refused.exception) == (
        f"--truth {other}: most of the reported frauds are genuine in it; is it of another world?"
    )
    twice = pa.concat_tables([truth, foreign])
    pq.write_table(twice, other)
    refused = evaluating(world, output, *protocol, "--truth", str(other))
    assert str(refused.exception) == f"--truth {other}: some transactions are in it with several typologies"
    refused = evaluating(world, output, *protocol, "--truth", str(MAPPING))
    assert "cannot be read as Parquet with transaction_id and typology" in str(refused.exception)


def test_too_few_days_are_told_with_what_the_protocol_needs(world: Path, tmp_path: Path) -> None:
    result = evaluating(world, tmp_path / "out.json")
    assert isinstance(result.exception, Misconfigured)
    assert "need 75 days, and the data has 2025-01-06 to 2025-02-04 (30 days)" in str(result.exception)


@pytest.mark.parametrize("occupied", ["a file", "a folder with files"])
def test_nothing_that_exists_is_overwritten(tmp_path: Path, occupied: str) -> None:
    out = tmp_path / "world"
    kept = out if occupied == "a file" else out / "mine.txt"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("mine")
    result = simulating(out)
    assert isinstance(result.exception, Misconfigured)
    assert str(result.exception) == f"{out} exists and is not empty; name another folder, or remove it"
    assert kept.read_text() == "mine"


def test_a_world_that_cannot_be_finished_leaves_nothing_behind(tmp_path: Path) -> None:
    simulation = Simulation(SimulationSettings(seed=7, cards=60))

    def days() -> Iterator[SimulatedDay]:
        yield simulation.simulate_day(0)
        raise OSError("the disk is full")

    with pytest.raises(Misconfigured, match="cannot be completed: the disk is full"):
        write_world(tmp_path / "world", days(), DayTables(simulation.population), simulation.settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--change-after", "30"), "30 is not before the end, --days 30"),
        (("--days", "0"), "Invalid value for '--days'"),
        (("--cards", "10"), "Invalid value for '--cards'"),
    ],
)
def test_wrong_arguments_are_told_apart(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    result = simulating(tmp_path / "world", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "world").exists()
