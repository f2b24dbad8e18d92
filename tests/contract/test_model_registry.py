"""The registry and tracking adapters, on a real MLflow server."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.model_registry.mlflow_tracking import MlflowTracking
from adapters.runtime.files import read_folder
from adapters.runtime.ports import free_ports
from adapters.runtime.settings import Settings, child_environment
from cardwatch.errors import CorruptModel, NoChampion, RegistryUnavailable
from cardwatch.registry import CHAMPION, MODEL, digest_of
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
