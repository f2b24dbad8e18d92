"""The registry and tracking adapters, on a real MLflow server."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import mlflow as mlflow_client
import msgspec
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from msgspec import structs

from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.model_registry.mlflow_tracking import DatasetInfo, MlflowTracking
from adapters.runtime.files import read_folder
from adapters.runtime.ports import free_ports
from adapters.runtime.settings import Settings, child_environment
from cardwatch.detector.detector import FACTS_FILE, TREES_FILE, Detector
from cardwatch.errors import CorruptModel, NoChampion, RegistryUnavailable
from cardwatch.features.definitions import FEATURE_NAMES
from cardwatch.registry import CHAMPION, MODEL, digest_of
from cardwatch.warm_up import one_split_detector
from infra.local_stack.servers import server_spec
from infra.local_stack.supervisor import Supervisor

FILES = {"detector.json": b"{}", "model.ubj": b"\x00\x01trees\xff"}


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a server and the folder of its artifacts."""
    home = tmp_path_factory.mktemp("mlflow")
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    with Supervisor(home) as supervisor:
        supervisor.start(server_spec("mlflow", Settings(home=home, mlflow_url=url)))
        yield url, home / "mlflow" / "artifacts"


@pytest.fixture
def registry(mlflow: tuple[str, Path]) -> Iterator[MlflowRegistry]:
    registry = MlflowRegistry(mlflow[0])
    yield registry
    registry.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "detector"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5.0, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def register(url: str, folder: Path) -> str:
    return MlflowTracking(url).log_model(
        folder,
        run_name="test",
        schema_hash="s",
        fingerprint="f",
        params={"trees": 3},
        metrics={"average_precision": 0.5, "roc_auc": None},
        artifacts={"model_card.md": b"# A card", "verdict/rows.parquet": b"rows"},
        tags={"day": "2030-01-01"},
    )


def test_a_registry_without_the_model_or_the_alias_says_how_to_get_a_champion(
    mlflow: tuple[str, Path], registry: MlflowRegistry, folder: Path
) -> None:
    with pytest.raises(NoChampion, match=r"has no cardwatch@champion: train one with"):
        registry.champion()
    register(mlflow[0], folder)
    with pytest.raises(NoChampion, match=r"has no cardwatch@champion: train one with"):
        registry.champion()
    assert registry.alias("challenger") is None
    for unknown in ("99", "champion", "-1", "1.5", "9" * 60):
        assert registry.version(unknown) is None


def test_a_deleted_version_is_not_found(mlflow: tuple[str, Path], registry: MlflowRegistry, folder: Path) -> None:
    version = register(mlflow[0], folder)
    url = f"{mlflow[0]}/api/2.0/mlflow/model-versions/delete"
    body = {"name": MODEL, "version": version}
    httpx.request("DELETE", url, json=body, timeout=30.0, trust_env=False).raise_for_status()
    assert registry.version(version) is None


def test_what_is_registered_is_found_under_its_alias_and_comes_back_byte_for_byte(
    mlflow: tuple[str, Path], registry: MlflowRegistry, folder: Path
) -> None:
    version = register(mlflow[0], folder)
    registry.set_alias(CHAMPION, version)

    champion = registry.champion()
    assert champion.version == version
    assert champion.schema_hash == "s"
    assert champion.digest == digest_of(FILES)
    expected = {"fingerprint": "f", "day": "2030-01-01"}
    assert {key: champion.tags[key] for key in expected} == expected
    assert registry.version(version) == champion

    assert registry.files(champion) == FILES
    assert registry.run_files(champion, "verdict") == {"rows.parquet": b"rows"}
    assert registry.run_files(champion, "no such folder") == {}


def test_a_file_is_added_to_the_run_of_a_version_and_written_again_without_touching_the_model(
    mlflow: tuple[str, Path], registry: MlflowRegistry, folder: Path
) -> None:
    version = registry.version(register(mlflow[0], folder))
    assert version is not None
    for content in (b"[1]", b"[1, 2]"):
        registry.put_run_file(version, "monitoring/days.json", content)

    assert registry.run_file_names(version, "monitoring") == ["days.json"]
    assert registry.run_files(version, "monitoring") == {"days.json": b"[1, 2]"}
    assert registry.files(version) == FILES
    with pytest.raises(RegistryUnavailable, match="upload-artifact"):
        registry.put_run_file(structs.replace(version, run_id="no such run"), "monitoring/days.json", b"[]")


def test_an_alias_moves_to_the_version_that_it_is_given_last(
    mlflow: tuple[str, Path], registry: MlflowRegistry, folder: Path
) -> None:
    first, second = register(mlflow[0], folder), register(mlflow[0], folder)
    assert int(second) == int(first) + 1
    registry.set_alias(CHAMPION, first)
    registry.set_alias(CHAMPION, second)
    assert registry.champion().version == second


def test_files_changed_after_registration_are_refused_with_both_digests(
    mlflow: tuple[str, Path], registry: MlflowRegistry, folder: Path
) -> None:
    version = registry.version(register(mlflow[0], folder))
    assert version is not None
    [stored] = mlflow[1].glob(f"*/{version.run_id}/artifacts/detector/model.ubj")
    stored.write_bytes(b"other trees")
    with pytest.raises(CorruptModel) as refusal:
        registry.files(version)
    assert f"version {version.version} of" in str(refusal.value)
    assert digest_of(FILES) in str(refusal.value)
    assert digest_of({**FILES, "model.ubj": b"other trees"}) in str(refusal.value)


def test_the_digest_is_what_sha256sum_would_print(folder: Path) -> None:
    # cd folder && sha256sum * | sha256sum
    assert digest_of(read_folder(folder)) == "e02d0121cd7b2cd92a77acfa3ecefd0ebe2f3e7dcc8a8574e190d5959550ef2f"


def test_the_run_of_a_version_has_its_tags_its_artifacts_and_the_rows_that_it_rests_on(
    mlflow: tuple[str, Path], registry: MlflowRegistry, folder: Path
) -> None:
    training = DatasetInfo(
        name="transactions",
        context="training",
        digest="f" * 64,
        source='{"log_ends":{"0":7}}',
        profile='{"rows":5}',
    )
    number = MlflowTracking(mlflow[0]).log_model(
        folder,
        run_name="test",
        schema_hash="s",
        fingerprint="f" * 64,
        artifacts={"reliability.svg": b"<svg/>"},
        tags={"code_version": "1.2.3", "flow_run": "run-7", "label_ends": '{"0":3}'},
        datasets=[training],
    )
    version = registry.version(number)
    assert version is not None
    client = MlflowClient(mlflow[0], mlflow[0])
    run = client.get_run(version.run_id)

    expected = {"code_version": "1.2.3", "flow_run": "run-7", "label_ends": '{"0":3}', "fingerprint": "f" * 64}
    assert {name: run.data.tags[name] for name in expected} == expected
    assert {name: version.tags[name] for name in expected} == expected
    [logged] = run.inputs.dataset_inputs
    found = logged.dataset
    assert (found.name, found.digest) == ("transactions", "f" * 36)
    assert (found.source, found.profile) == (training.source, training.profile)
    assert msgspec.json.decode(found.schema)["mlflow_colspec"][0]["name"] == FEATURE_NAMES[0]
    assert [(tag.key, tag.value) for tag in logged.tags] == [("mlflow.data.context", "training")]
    assert {file.path for file in client.list_artifacts(version.run_id)} == {"detector", "reliability.svg"}


mlflow_warns = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType")
"""Of its own type hints, when `mlflow.pyfunc` is imported."""


@pytest.fixture
def mlflow_uri(mlflow: tuple[str, Path]) -> Iterator[str]:
    """The address of the server, at which MLflow's own functions look for models meanwhile."""
    before = mlflow_client.get_tracking_uri(), mlflow_client.get_registry_uri()
    mlflow_client.set_tracking_uri(mlflow[0])
    mlflow_client.set_registry_uri(mlflow[0])
    yield mlflow[0]
    mlflow_client.set_tracking_uri(before[0])
    mlflow_client.set_registry_uri(before[1])


def one_split_files() -> dict[str, bytes]:
    detector = one_split_detector()
    return {TREES_FILE: detector._trees.to_bytes(), FACTS_FILE: msgspec.json.encode(detector.facts)}


def save(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def feature_rows(count: int) -> pd.DataFrame:
    random = np.random.default_rng(3)
    rows = (random.random((count, len(FEATURE_NAMES))) * 500).astype(np.float32)
    rows[random.random(rows.shape) < 0.3] = np.nan
    return pd.DataFrame(rows, columns=list(FEATURE_NAMES))


@mlflow_warns
def test_mlflow_itself_loads_a_version_by_its_address_and_predicts_the_same_bits(
    mlflow_uri: str, registry: MlflowRegistry, tmp_path: Path
) -> None:
    files = one_split_files()
    number = register(mlflow_uri, save(tmp_path / "model", files))
    registry.set_alias(CHAMPION, number)
    detector, rows = Detector.from_files(files), feature_rows(200)
    margins = detector.margins(rows.to_numpy())

    for address in (f"models:/{MODEL}/{number}", f"models:/{MODEL}@{CHAMPION}"):
        loaded = mlflow_client.pyfunc.load_model(address)
        found = loaded.predict(rows.set_index(np.arange(200) + 1_000))
        assert found.columns.tolist() == ["margin", "probability"]
        assert found.index[0] == 1_000
        assert found["margin"].to_numpy().tobytes() == margins.tobytes()
        assert found["probability"].to_numpy().tobytes() == detector.probabilities(margins).tobytes()
        shuffled = rows[rows.columns[::-1]]
        assert loaded.predict(shuffled)["margin"].to_numpy().tobytes() == margins.tobytes()

    signature = mlflow_client.models.get_model_info(f"models:/{MODEL}/{number}").signature
    assert signature.inputs.input_names() == list(FEATURE_NAMES)
    assert {str(kind) for kind in signature.inputs.input_types()} == {"DataType.float"}
    assert signature.outputs.input_names() == ["margin", "probability"]
    version = registry.version(number)
    assert version is not None
    assert registry.files(version) == files


@mlflow_warns
def test_mlflow_refuses_rows_without_a_feature_and_rows_of_another_type(
    mlflow_uri: str, registry: MlflowRegistry, tmp_path: Path
) -> None:
    number = register(mlflow_uri, save(tmp_path / "model", one_split_files()))
    loaded = mlflow_client.pyfunc.load_model(f"models:/{MODEL}/{number}")
    with pytest.raises(MlflowException, match="missing inputs"):
        loaded.predict(feature_rows(2).drop(columns="amount"))
    with pytest.raises(MlflowException, match="float64"):
        loaded.predict(feature_rows(2).astype(np.float64))


@mlflow_warns
def test_mlflow_does_not_load_files_that_were_damaged(
    mlflow_uri: str, mlflow: tuple[str, Path], registry: MlflowRegistry, tmp_path: Path
) -> None:
    version = registry.version(register(mlflow_uri, save(tmp_path / "model", one_split_files())))
    assert version is not None
    [stored] = mlflow[1].glob(f"*/{version.run_id}/artifacts/detector/{TREES_FILE}")
    stored.write_bytes(stored.read_bytes()[:-1] + b"\x01")
    with pytest.raises(CorruptModel, match="MLmodel says"):
        mlflow_client.pyfunc.load_model(f"models:/{MODEL}/{version.version}")


class BasicAuth(BaseHTTPRequestHandler):
    """A reverse proxy that passes on only requests with the login."""

    login, target = "Basic " + base64.b64encode("alice:hünter2@/".encode()).decode(), ""

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Authorization") != self.login:
            self._answer(401, b"You are not authenticated.", "text/plain")
            return
        headers = {name: self.headers[name] for name in ("Content-Type",) if name in self.headers}
        answer = httpx.request(
            self.command, self.target + self.path, content=body, headers=headers, trust_env=False, timeout=30.0
        )
        self._answer(answer.status_code, answer.content, answer.headers.get("Content-Type", "text/plain"))

    do_GET = do_POST = do_PUT = do_PATCH = _pass_on  # noqa: N815

    def _answer(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def proxy(mlflow: tuple[str, Path]) -> Iterator[str]:
    """The host and port of a proxy that wants a login, before the server."""
    BasicAuth.target = mlflow[0]
    with ThreadingHTTPServer(("127.0.0.1", 0), BasicAuth) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("given", ["in the address", "as variables of MLflow"])
def test_behind_a_login_a_model_is_registered_and_read(
    proxy: str, folder: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    address = f"http://alice:h%C3%BCnter2%40%2F@{proxy}"
    if given == "as variables of MLflow":
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "alice")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hünter2@/")
        address = f"http://{proxy}"
    version = register(address, folder)
    with closing(MlflowRegistry(address)) as registry:
        registry.set_alias(CHAMPION, version)
        champion = registry.champion()
        assert champion.version == version
        assert registry.files(champion) == FILES


def test_without_the_login_nothing_is_registered_and_no_message_shows_one(proxy: str, folder: Path) -> None:
    for address in (f"http://{proxy}", f"http://alice:wrong-hunter2@{proxy}"):
        with pytest.raises(RegistryUnavailable, match=f"http://{proxy} answered 401 .*_USERNAME") as no:
            register(address, folder)
        assert "hunter2" not in str(no.value)
    assert "MLFLOW_TRACKING_USERNAME" not in child_environment(Settings())  # what was set for a request is gone


def test_a_registry_that_is_not_there_is_named_by_its_address(folder: Path) -> None:
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    registry = MlflowRegistry(url)
    with pytest.raises(RegistryUnavailable, match=url):
        registry.champion()
    with pytest.raises(RegistryUnavailable, match=url):
        register(url, folder)
    registry.close()
