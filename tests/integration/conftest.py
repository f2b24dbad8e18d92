"""A scoring service as it runs, under BentoML, behind one MLflow server that all tests of a session share."""

from __future__ import annotations

import ssl
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from msgspec import structs
from numpy.typing import NDArray

from adapters.feature_store.lmdb import LmdbStore
from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.model_registry.mlflow_tracking import MlflowTracking
from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.settings import Settings, child_environment, new_api_key
from adapters.scoring.client import ScoringClient
from cardwatch.errors import ScoringUnavailable
from cardwatch.features.definitions import FEATURES, SCHEMA_HASH
from cardwatch.registry import CANARY, CHAMPION, SHADOW
from infra.local_stack.servers import server_spec
from infra.local_stack.supervisor import ProcessSpec, Supervisor
from models.training import FittedDetector, TrainingSettings, fit_detector

DEADLINE_SECONDS = 60.0
SERVICE, REGISTRY = "scoring", "mlflow"


def wait_until(condition: Callable[[], bool], what: str = "", seconds: float = DEADLINE_SECONDS) -> float:
    """Poll for a state; gives after how many seconds it was reached."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < seconds, f"{what or 'the state'} was not reached within {seconds:g} s"
        time.sleep(0.01)
    return time.monotonic() - begin


def feature_rows(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Any rows, a tenth of the values missing."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(count, len(FEATURES))).astype(np.float32)
    values[random.random(values.shape) < 0.1] = np.nan
    return values


class Mlflow:
    """The registry's server, which tests may stop and start, and its aliases."""

    def __init__(self, settings: Settings, supervisor: Supervisor) -> None:
        self.url, self.artifacts = settings.mlflow_url, settings.home / "mlflow" / "artifacts"
        self.registry = MlflowRegistry(self.url)
        self._settings, self._supervisor = settings, supervisor

    def start(self) -> None:
        self._supervisor.start(server_spec("mlflow", self._settings))

    def stop(self) -> None:
        self._supervisor.stop(REGISTRY)

    def register(self, files: FittedDetector | dict[str, bytes], folder: Path, schema_hash: str = SCHEMA_HASH) -> str:
        """A new version of these files, with their right digest; gives its number."""
        folder.mkdir(parents=True)
        for name, content in (files.files if isinstance(files, FittedDetector) else files).items():
            (folder / name).write_bytes(content)
        return MlflowTracking(self.url).log_model(folder, run_name="test", schema_hash=schema_hash, fingerprint="")

    def stored(self, version: str, name: str) -> Path:
        """Where the server keeps a version's file."""
        found = self.registry.version(version)
        assert found is not None
        [file] = self.artifacts.glob(f"*/{found.run_id}/artifacts/detector/{name}")
        return file

    def drop_candidate(self) -> None:
        for alias in (SHADOW, CANARY):
            self.registry.delete_alias(alias)


class Stack:
    """A running scoring service, and how tests ask it. Every call is a connection of its own."""

    def __init__(self, settings: Settings, mlflow: Mlflow, supervisor: Supervisor) -> None:
        self.settings, self.mlflow, self.registry, self._supervisor = settings, mlflow, mlflow.registry, supervisor
        self.ready_without_champion: httpx.Response | None = None
        self.score_without_champion = ""
        self._http = httpx.Client(
            base_url=settings.scoring_url,
            timeout=DEADLINE_SECONDS,
            trust_env=False,
            verify=ssl.create_default_context(cafile=settings.tls_ca) if settings.tls_ca else False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    def connected(self) -> httpx.Client:
        """A client with the stack's key that keeps its connection."""
        url = self.settings.scoring_url
        return httpx.Client(base_url=url, headers=self.key, timeout=DEADLINE_SECONDS, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def stop(self) -> None:
        """End the service before the test ends."""
        self._supervisor.stop(SERVICE)

    @property
    def key(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.settings.api_key}"}

    @property
    def address(self) -> tuple[str, int]:
        url = httpx.URL(self.settings.scoring_url)
        return url.host, url.port or 0

    @property
    def log(self) -> Path:
        return self._supervisor.log(SERVICE)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self._http.get(path, headers={**self.key, **headers})

    def post(self, path: str, content: bytes = b"", **headers: str) -> httpx.Response:
        return self._http.post(path, content=content, headers={**self.key, **headers})

    def status(self, path: str) -> int:
        """The status of an answer without a key, 0 if there is none."""
        try:
            return self._http.get(path).status_code
        except httpx.HTTPError:
            return 0

    def metric(self, name: str, **labels: str) -> float:
        """A value on the metrics page, 0 if it is not there yet."""
        wanted = name
        if labels:
            wanted += "{" + ",".join(f'{label}="{value}"' for label, value in labels.items()) + "}"
        lines = self.get("/metrics").text.splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(wanted + " ")), 0.0)

    def client(self, timeout_seconds: float = 30.0) -> closing[ScoringClient]:
        return closing(ScoringClient(self.settings, timeout_seconds=timeout_seconds))

    def score(self, asked: NDArray[np.float32], reasons_above: float = np.inf) -> Any:
        with self.client() as scorer:
            return scorer.score(asked, np.full(len(asked), reasons_above), schema_hash=SCHEMA_HASH)

    def workers(self) -> list[int]:
        """The process ids of the workers."""
        bentoml = psutil.Process(self._supervisor.pid(SERVICE))
        return sorted(child.pid for child in bentoml.children() if "--worker-id" in _command(child))

    def promote(self, fitted: FittedDetector, folder: Path) -> str:
        """Register a model and wait until it is served as the champion."""
        version = self.mlflow.register(fitted, folder)
        self.make_champion(version)
        return version

    def make_champion(self, version: str) -> None:
        self.registry.set_alias(CHAMPION, version)
        wait_until(lambda: self.get("/v1/model").json()["version"] == version, f"version {version} is served")

    def store(self) -> LmdbStore:
        """The embedded store, to write to."""
        return LmdbStore(self.settings.store)


def _command(process: Any) -> Sequence[str]:
    try:
        command: list[str] = process.cmdline()
    except psutil.NoSuchProcess:
        return []
    return command


@pytest.fixture(scope="session")
def until() -> Callable[..., float]:
    """Polls for a state, with a deadline."""
    return wait_until


@pytest.fixture(scope="session")
def rows() -> Callable[..., NDArray[np.float32]]:
    """Makes feature rows."""
    return feature_rows


@pytest.fixture(scope="session")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mlflow]:
    """The registry of all scoring services."""
    home = tmp_path_factory.mktemp("mlflow")
    settings = Settings(home=home, mlflow_url=f"http://{LOOPBACK}:{free_ports(1)[0]}")
    with Supervisor(home) as supervisor:
        server = Mlflow(settings, supervisor)
        server.start()
        with closing(server.registry):
            yield server


StartScoring = Callable[..., Stack]


def _starting(
    mlflow: Mlflow, folders: pytest.TempPathFactory, running: ExitStack, *, wait: bool = True, **changes: Any
) -> Stack:
    [port] = free_ports(1)
    scheme = "https" if "tls_certificate" in changes else "http"
    settings = structs.replace(
        Settings(
            home=changes.pop("home", None) or folders.mktemp("scoring"),
            mlflow_url=mlflow.url,
            scoring_url=f"{scheme}://{LOOPBACK}:{port}",
            api_key=new_api_key(),
        ),
        **changes,
    )
    supervisor = running.enter_context(Supervisor(settings.home))
    stack = running.enter_context(closing(Stack(settings, mlflow, supervisor)))
    scoring = ProcessSpec(
        name=SERVICE,
        command=[sys.executable, "-m", "services.scoring"],
        environment=child_environment(settings),
        ready=lambda: stack.status("/livez") == 200,
        ready_within_seconds=240.0,
    )
    supervisor.spawn([scoring])
    if wait:
        supervisor.await_ready(SERVICE)
    return stack


@pytest.fixture(scope="session")
def stack(mlflow: Mlflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service with one worker, shared; what it said before there was any champion is kept."""
    with ExitStack() as running:
        stack = _starting(mlflow, tmp_path_factory, running)
        wait_until(lambda: "has no cardwatch@champion" in stack.get("/readyz").text)
        stack.ready_without_champion = stack.get("/readyz")
        with pytest.raises(ScoringUnavailable) as refusal:
            stack.score(feature_rows(1))
        stack.score_without_champion = str(refusal.value)
        yield stack


@pytest.fixture
def start_scoring(
    stack: Stack,  # first, because it wants to see the registry without a champion
    mlflow: Mlflow,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[StartScoring]:
    """Starts a service with further settings, which ends with the test; `wait=False` returns before it answers."""
    with ExitStack() as running:
        yield lambda **changes: _starting(mlflow, tmp_path_factory, running, **changes)


@pytest.fixture(scope="session")
def detectors() -> tuple[FittedDetector, FittedDetector]:
    """Two models that differ in their margins of nearly every row, over `feature_rows`."""
    return _trained(seed=1), _trained(seed=2)


@pytest.fixture(scope="module")
def versions(
    mlflow: Mlflow, detectors: tuple[FittedDetector, FittedDetector], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, str]:
    """The versions of the two detectors in the registry."""
    folder = tmp_path_factory.mktemp("versions")
    return mlflow.register(detectors[0], folder / "0"), mlflow.register(detectors[1], folder / "1")


def _trained(seed: int) -> FittedDetector:
    features = feature_rows(600, seed)
    is_fraud = np.nan_to_num(features[:, 5 + seed]) > 1.0
    return fit_detector(
        features[:400],
        is_fraud[:400],
        calibration_features=features[400:],
        calibration_is_fraud=is_fraud[400:],
        settings=TrainingSettings(trees=10, depth=3, features_per_tree=1.0, max_bin=64, threads=1),
    )
