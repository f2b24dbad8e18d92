"""The flows on a real Prefect server, MLflow server and broker, over a small simulated history."""

import importlib.metadata
import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import httpx
import msgspec
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow.tracking import MlflowClient
from msgspec import structs

from adapters.archive.reference_tables import ReferenceTableStore
from adapters.archive.writer import ArchiveWriter, label_row, transaction_row
from adapters.feature_store.lmdb import LmdbStore
from adapters.kafka.offsets import OffsetReader
from adapters.kafka.progress import ProgressReader
from adapters.local_stack.readiness import is_responding
from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.prefect import PrefectDeployments
from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.settings import Settings, child_environment
from cardwatch.detector.detector import Detector
from cardwatch.errors import CardwatchError, OrchestratorUnavailable
from cardwatch.events import LAST_DAY as LAST_ADMITTED_DAY
from cardwatch.features.columns import encode
from cardwatch.features.definitions import FEATURE_NAMES, SCHEMA_HASH
from cardwatch.features.hashing import identity_hashes
from cardwatch.features.known_frauds import ReferenceLabel
from cardwatch.features.reference_builder import ReferenceBuilder
from cardwatch.progress import Bootstrapped
from cardwatch.promotion.policy import PromotionPolicy
from cardwatch.registry import CHALLENGER, SHADOW
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cardwatch.topics import STREAM_GROUP
from infra.local_stack.stack import LocalStack
from pipelines.__main__ import prefect_environment
from pipelines.steps.fitting import REFERENCE_ENOUGH_ROWS
from tests.promotion_policies import ANY_CHALLENGER_WINS, NO_CHALLENGER_WINS, policy_toml

pytestmark = pytest.mark.timeout(900)

WORLD = SimulationSettings(seed=5, cards=200, fraud_share=0.02)
DAYS = 30
LAST_DAY = WORLD.first_day + timedelta(days=DAYS - 1)
FIRST_CHAMPION_DAY = LAST_DAY - timedelta(days=4)
"""The challengers of the last day are judged on four days that this champion has not seen."""
PARTITIONS = 4
SECONDS = 240.0


def partition_of(card_id: str) -> int:
    return zlib.crc32(card_id.encode()) % PARTITIONS


def archive_history(settings: Settings) -> dict[int, int]:
    """Write the archive of `DAYS` days, and return the next offset of each partition of the log.

    One transaction of the first day has a wrong clock: it is of the last day that is admitted.
    """
    world, builder, tables = Simulation(WORLD), ReferenceBuilder(), ReferenceTableStore(settings.tables)
    ends = {(topic, p): 0 for topic in ("transactions", "labels") for p in range(PARTITIONS)}
    with closing(ArchiveWriter(settings.archive)) as archive:
        for number in range(DAYS):
            events = world.day(number)
            rows: dict[str, list[dict[str, object]]] = {"transactions": [], "labels": []}
            transactions = list(events.transactions)
            if number == 0:
                wrong = datetime.combine(LAST_ADMITTED_DAY, time(12), UTC)
                transactions.append(structs.replace(transactions[0], transaction_id="wrong-clock", occurred_at=wrong))
            for transaction in transactions:
                place = ("transactions", partition_of(transaction.card_id))
                rows["transactions"].append(transaction_row(transaction, place[1], ends[place]))
                ends[place] += 1
            for label in events.labels:
                place = ("labels", partition_of(label.card_id))
                rows["labels"].append(label_row(label, place[1], ends[place]))
                ends[place] += 1
                builder.add_label(ReferenceLabel.of(label))
            cards = identity_hashes([transaction.card_id for transaction in transactions])
            builder.add_transactions(encode(transactions), cards)
            archive.write(rows, ends)
            table = builder.build(events.day + timedelta(days=1))
            tables.put(table)
            archive.close_day(events.day, table.table_id)
    return {p: end for (topic, p), end in ends.items() if topic == "transactions"}


class Bench:
    """The running stack and its clients."""

    def __init__(self, stack: LocalStack, log_ends: dict[int, int]) -> None:
        self.stack, self.log_ends = stack, log_ends
        self.settings = settings = stack.settings
        self.flows = PrefectDeployments(settings.prefect_url)
        self.registry = MlflowRegistry(settings.mlflow_url)

    def use(self, policy: PromotionPolicy) -> None:
        assert self.settings.policy_file is not None
        self.settings.policy_file.write_bytes(policy_toml(policy))

    def run(self, flow: str, **parameters: object) -> str:
        """Run a flow until it has completed, and return the id of the run."""
        run_id = self.flows.run(f"{flow}/local", parameters)
        self.flows.wait(run_id, timeout_seconds=SECONDS)
        return run_id

    def log_of(self, run_id: str) -> list[str]:
        """The messages that the Prefect server has of a run."""
        query = {"logs": {"flow_run_id": {"any_": [run_id]}}, "sort": "TIMESTAMP_ASC"}
        found = httpx.post(f"{self.settings.prefect_url}/api/logs/filter", json=query, trust_env=False)
        return [line["message"] for line in found.raise_for_status().json()]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    home = tmp_path_factory.mktemp("flows")
    policy_file = home / "policies.toml"
    policy_file.touch()
    settings = Settings(home=home, policy_file=policy_file, partitions=PARTITIONS)
    with LocalStack(settings) as stack:
        stack.start("kafka", "mlflow", "prefect", "pipelines")
        bench = Bench(stack, archive_history(settings))
        bench.use(ANY_CHALLENGER_WINS)
        with closing(bench.flows), closing(bench.registry):
            bench.run("bootstrap", as_of_day=str(FIRST_CHAMPION_DAY))
            yield bench


def test_bootstrap_registers_a_champion_that_can_be_loaded(bench: Bench) -> None:
    version = bench.registry.version("1")
    assert version is not None
    detector = Detector.from_files(bench.registry.files(version))

    assert detector.facts.schema_hash == SCHEMA_HASH == version.schema_hash
    assert version.tags["verdict"] == "promoted"
    # Of 26 days the last five are not mature, and seven are judged. Then the model is fitted again with these seven.
    assert version.tags["trained_from"] == str(WORLD.first_day)
    assert version.tags["judged_from"] == str(WORLD.first_day + timedelta(days=14))
    assert version.tags["judged_until"] == version.tags["trained_until"] == str(WORLD.first_day + timedelta(days=21))
    assert version.digest != version.tags["judged_digest"]


def test_the_run_of_a_version_says_what_made_it_and_has_its_documents(bench: Bench) -> None:
    version = bench.registry.version("1")
    assert version is not None
    client = MlflowClient(bench.settings.mlflow_url)
    run = client.get_run(version.run_id)

    assert httpx.get(
        f"{bench.settings.prefect_url}/api/flow_runs/{version.tags['flow_run']}", trust_env=False
    ).is_success
    ends = {str(partition): end for partition, end in bench.log_ends.items()}
    assert msgspec.json.decode(version.tags["log_ends"]) == ends
    assert run.data.tags["code_version"] == version.tags["code_version"] == importlib.metadata.version("cardwatch")
    training, judged = sorted(run.inputs.dataset_inputs, key=lambda each: each.dataset.name, reverse=True)
    assert training.dataset.digest == version.tags["fingerprint"][:36]
    assert judged.dataset.digest == version.tags["verdict_digest"][:36]
    source = msgspec.json.decode(training.dataset.source)
    assert source["fingerprint"] == version.tags["fingerprint"]
    assert source["log_ends"] == ends

    paths = {file.path for file in client.list_artifacts(version.run_id)}
    assert {"model_card.md", "reliability_judged.svg", "verdict", "detector"} <= paths
    card = Path(client.download_artifacts(version.run_id, "model_card.md", str(bench.settings.home))).read_text()
    assert "Verdict: **promoted**" in card
    assert "there is no champion to compare with" in card
    assert f"| run that trained it | {version.tags['flow_run']} |" in card


def test_the_model_contains_the_drift_reference(bench: Bench) -> None:
    files = bench.registry.files(bench.registry.champion())
    sample = pq.read_table(pa.BufferReader(files["reference.parquet"]))

    assert sample.column_names == [*FEATURE_NAMES, "margin", "probability", "day"]
    assert sample.num_rows > REFERENCE_ENOUGH_ROWS  # the week of the bootstrap, in spite of the transaction of 9998
    detector = Detector.from_files(files)
    margins = detector.margins(sample.select(list(FEATURE_NAMES)).to_pandas().to_numpy("float32"))
    assert margins.tolist() == sample["margin"].to_pylist()
    assert detector.probabilities(margins).tolist() == sample["probability"].to_pylist()


def test_after_bootstrap_store_and_stream_are_at_the_end_of_history(bench: Bench) -> None:
    with LmdbStore(bench.settings.store, readonly=True) as store:
        assert {p: store.applied(p) for p in range(PARTITIONS)} == bench.log_ends
        assert len(store.cards()) == WORLD.cards
    with closing(OffsetReader(bench.settings.kafka, STREAM_GROUP)) as inquiry:
        assert inquiry.committed("transactions", range(PARTITIONS)) == bench.log_ends


def test_bootstrap_writes_a_progress_record(bench: Bench) -> None:
    with closing(ProgressReader(bench.settings.kafka)) as reader:
        record = reader.poll(10.0)

    version = bench.registry.version("1")
    assert version is not None
    assert record == Bootstrapped(
        day=FIRST_CHAMPION_DAY, champion_version="1", average_precision=float(version.tags["average_precision"])
    )


def test_bootstrap_again_changes_nothing(bench: Bench) -> None:
    before = bench.registry.champion()

    bench.run("bootstrap")

    assert bench.registry.champion() == before


@pytest.mark.rubric("infra-4")
def test_a_refused_challenger_is_registered_with_its_verdict_and_the_champion_stays(bench: Bench) -> None:
    bench.use(NO_CHALLENGER_WINS)
    before = bench.registry.champion()

    run_id = bench.run("retrain", as_of_day=str(LAST_DAY), reasons=["a test requests it"])

    challenger = bench.registry.alias(CHALLENGER)
    assert challenger is not None
    assert bench.registry.champion() == before != challenger
    assert challenger.tags["verdict"] == "refused"
    assert challenger.tags["because"] == '["a test requests it"]'
    reasons = msgspec.json.decode(challenger.tags["verdict_reasons"], type=list[str])
    assert reasons[0].startswith("judged on days 2025-01-27 to 2025-01-30; ")
    assert any(reason.startswith("FAILED: ") and "of the champion's cost" in reason for reason in reasons)
    assert set(reasons) < set(bench.log_of(run_id))


@pytest.mark.rubric("infra-1")
def test_the_compared_model_is_promoted_and_the_same_archive_gives_the_same_bytes(bench: Bench) -> None:
    refused = bench.registry.alias(CHALLENGER)
    assert refused is not None
    bench.use(ANY_CHALLENGER_WINS)

    bench.run("retrain", as_of_day=str(LAST_DAY), reasons=["the same again"])

    winner = bench.registry.alias(SHADOW)  # it is not champion before it has scored in shadow and decided as canary
    assert winner is not None
    assert winner.version != refused.version
    assert winner == bench.registry.alias(CHALLENGER)
    assert winner.tags["verdict"] == "promoted"
    same = ("judged_digest", "fingerprint")
    assert [winner.tags[tag] for tag in same] == [refused.tags[tag] for tag in same]
    assert winner.digest != winner.tags["judged_digest"] == refused.digest
    assert winner.tags["trained_until"] == winner.tags["judged_until"] != refused.tags["trained_until"]


def test_a_run_that_fails_says_why(bench: Bench) -> None:
    with pytest.raises(
        CardwatchError, match=r"ended as Failed: .*26 are needed: 14 to train, 7 to judge, 5 for labels"
    ):
        bench.run("retrain", as_of_day=str(date(2025, 1, 15)), reasons=[])


def test_an_unknown_deployment_is_named(bench: Bench) -> None:
    with pytest.raises(OrchestratorUnavailable, match="knows no deployment 'repaint/local'"):
        bench.flows.run("repaint/local", {})


def test_an_unreachable_server_is_named() -> None:
    (port,) = free_ports(1)
    with (
        closing(PrefectDeployments(f"http://127.0.0.1:{port}")) as flows,
        pytest.raises(OrchestratorUnavailable, match=f"no Prefect server answers at http://127.0.0.1:{port}/api"),
    ):
        flows.run("retrain/local", {})


def test_a_runner_that_starts_before_the_server_waits_for_it(bench: Bench) -> None:
    logged = bench.stack.supervisor.log("pipelines").read_text()
    assert "no Prefect server answers" in logged
    assert "serving bootstrap, retrain" in logged


class Runner:
    """A runner of the flow in `waiting_flow.py`, on the same server."""

    def __init__(self, settings: Settings) -> None:
        [port] = free_ports(1)
        self.url = f"http://{LOOPBACK}:{port}"
        self._command = [sys.executable, str(Path(__file__).with_name("waiting_flow.py"))]
        self._environment = child_environment(
            structs.replace(settings, watch_port=port),
            **prefect_environment(settings),
            PYTHONPATH=str(Path(__file__).parent),
        )
        self._groups: list[int] = []

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, env=self._environment, start_new_session=True)
        self._groups.append(self.process.pid)

    def end(self) -> None:
        for group in self._groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self.process.wait(timeout=20)

    def is_ready(self) -> bool:
        return is_responding(f"{self.url}/readyz")


@pytest.fixture(scope="module")
def runner(bench: Bench, until: Callable[..., float]) -> Iterator[Runner]:
    runner = Runner(bench.settings)
    runner.start()
    until(runner.is_ready, "the runner is ready")
    yield runner
    runner.end()


@pytest.fixture
def run_in_progress(bench: Bench, runner: Runner, tmp_path: Path, until: Callable[..., float]) -> str:
    """A run that waits for the file `go`, and then creates the file `published`."""
    run = bench.flows.run("wait/local", {"until": str(tmp_path / "go"), "published": str(tmp_path / "published")})
    until(lambda: bench.flows.state(run).kind == "RUNNING", "the run is in progress")
    return run


@pytest.mark.long
def test_a_run_in_progress_survives_a_restart_of_the_server(
    bench: Bench, runner: Runner, run_in_progress: str, tmp_path: Path, until: Callable[..., float]
) -> None:
    served = bench.stack.health_address("pipelines")
    bench.stack.supervisor.kill("prefect")
    until(lambda: not runner.is_ready() and not is_responding(f"{served}/readyz"), "both runners have noticed")
    waiting = httpx.get(f"{runner.url}/readyz", trust_env=False)
    assert waiting.status_code == 503
    assert "no Prefect server answers" in waiting.json()["reason"]
    assert is_responding(f"{runner.url}/livez")

    bench.stack.start("prefect")
    until(lambda: runner.is_ready() and is_responding(f"{served}/readyz"), "both runners have found it again")
    (tmp_path / "go").touch()
    bench.flows.wait(run_in_progress, timeout_seconds=SECONDS)
    assert (tmp_path / "published").exists()


@pytest.mark.long
def test_the_orphaned_run_of_a_killed_runner_is_crashed_and_publishes_nothing(
    bench: Bench, runner: Runner, run_in_progress: str, tmp_path: Path, until: Callable[..., float]
) -> None:
    [run_process] = psutil.Process(runner.process.pid).children()
    runner.process.kill()
    runner.process.wait(timeout=20)
    runner.start()
    until(lambda: bench.flows.state(run_in_progress).ended, "the run is crashed")
    assert bench.flows.state(run_in_progress).kind == "CRASHED"
    (tmp_path / "go").touch()
    psutil.wait_procs([run_process], timeout=SECONDS)
    assert not run_process.is_running()
    assert not (tmp_path / "published").exists()

    again = bench.flows.run("wait/local", {"until": str(tmp_path / "go"), "published": str(tmp_path / "published")})
    bench.flows.wait(again, timeout_seconds=SECONDS)
    assert (tmp_path / "published").exists()
