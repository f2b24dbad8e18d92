"""The scoring service with its model in a folder, as itself and as a container of SageMaker, each a real process."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest

from adapters.aws.sagemaker_scorer import EndpointScorer
from adapters.model_registry.model_folder import write_model
from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.settings import Settings, child_environment, new_api_key
from adapters.scoring.client import ScoringClient
from cardwatch.features.definitions import FEATURES, SCHEMA_HASH
from cardwatch.registry import ModelVersion, digest_of
from infra.local_stack.supervisor import ProcessSpec, Supervisor
from models.training import FittedDetector, TrainingSettings, fit_detector

ENDPOINT = "cardwatch-test-scoring"
PASSED_ON = ("Content-Type", "Accept", "X-Amzn-SageMaker-Custom-Attributes")
OpenScorer = Callable[[float], Any]


class Serving(NamedTuple):
    """A running service: where it answers, its model's folder, its log, and what opens a scorer of it."""

    url: str
    folder: Path
    log: Path
    open_scorer: OpenScorer
    key: str = ""

    def get(self, path: str) -> httpx.Response:
        """An answer to a caller with the key, if there is one."""
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        return httpx.get(self.url + path, headers=headers, trust_env=False, timeout=30)

    def status(self) -> int:
        """Of a health check, 0 if nobody answers."""
        try:
            return self.get("/ping").status_code
        except httpx.HTTPError:
            return 0

    def serve(self, files: dict[str, bytes], version: str) -> None:
        """Put a model into the folder and wait until it is served."""
        write_model(self.folder, version_of(files, version), files)
        deadline = time.monotonic() + 60
        while self.status() != 200 or self.get("/ping").json()["version"] != version:
            assert time.monotonic() < deadline, self.get("/ping").text
            time.sleep(0.05)


class Runtime(BaseHTTPRequestHandler):
    """SageMaker's runtime in front of one container, as far as its clients see it."""

    protocol_version = "HTTP/1.1"
    container = ""

    def do_POST(self) -> None:
        """Hand the request on, without the headers that SageMaker does not hand on, and the answer back."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != f"/endpoints/{ENDPOINT}/invocations":
            self._answer(400, {"x-amzn-errortype": "ValidationError"}, b'{"Message": "Endpoint not found."}')
            return
        headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
        answer = httpx.post(self.container + "/invocations", content=body, headers=headers, trust_env=False, timeout=60)
        if answer.status_code < 400:
            self._answer(200, {"Content-Type": answer.headers["Content-Type"]}, answer.content)
            return
        said = {
            "Message": f'Received client error ({answer.status_code}) from primary with message "{answer.text}".',
            "OriginalStatusCode": answer.status_code,
            "OriginalMessage": answer.text,
        }
        self._answer(424, {"x-amzn-errortype": "ModelError"}, json.dumps(said).encode())

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def version_of(files: dict[str, bytes], version: str) -> ModelVersion:
    """What a registry would say of them."""
    return ModelVersion(version=version, run_id="", tags={"digest": digest_of(files), "schema_hash": SCHEMA_HASH})


@pytest.fixture(scope="session")
def fitted() -> FittedDetector:
    """A model that is sure of some rows."""
    features = np.random.default_rng(1).normal(size=(600, len(FEATURES))).astype(np.float32)
    is_fraud = features[:, 6] > 1.0
    return fit_detector(
        features[:400],
        is_fraud[:400],
        calibration_features=features[400:],
        calibration_is_fraud=is_fraud[400:],
        settings=TrainingSettings(trees=10, depth=3, features_per_tree=1.0, max_bin=64, threads=1),
    )


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, fitted: FittedDetector) -> Iterator[Serving]:
    """The service, with a damaged model."""
    home = tmp_path_factory.mktemp("service")
    settings = Settings(
        home=home,
        model_folder=home / "model",
        scoring_url=f"http://{LOOPBACK}:{free_ports(1)[0]}",
        api_key=new_api_key(),
    )

    def open_scorer(timeout_seconds: float) -> closing[ScoringClient]:
        return closing(ScoringClient(settings, timeout_seconds=timeout_seconds))

    with _running(settings, settings.scoring_url, [], {}, open_scorer, fitted) as serving:
        yield serving


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory, fitted: FittedDetector) -> Iterator[Serving]:
    """The container of a SageMaker endpoint, with a damaged model; its scorer asks SageMaker's runtime."""
    home = tmp_path_factory.mktemp("container")
    settings = Settings(home=home, model_folder=home / "model", bind=LOOPBACK, endpoint=ENDPOINT)
    [port] = free_ports(1)
    url = f"http://{LOOPBACK}:{port}"
    handler = type("RuntimeOfTheContainer", (Runtime,), {"container": url})
    with ThreadingHTTPServer((LOOPBACK, 0), handler) as runtime:
        threading.Thread(target=runtime.serve_forever, name="runtime", daemon=True).start()

        def open_scorer(timeout_seconds: float) -> closing[EndpointScorer]:
            with pytest.MonkeyPatch.context() as patch:
                _be_somebody(patch, f"http://{LOOPBACK}:{runtime.server_port}")
                return closing(EndpointScorer(settings, timeout_seconds=timeout_seconds))

        port_said = {"SAGEMAKER_BIND_TO_PORT": str(port)}
        with _running(settings, url, ["serve"], port_said, open_scorer, fitted) as serving:
            yield serving
        runtime.shutdown()


@contextmanager
def _running(
    settings: Settings,
    url: str,
    arguments: list[str],
    variables: dict[str, str],
    open_scorer: OpenScorer,
    fitted: FittedDetector,
) -> Iterator[Serving]:
    assert settings.model_folder is not None
    write_model(settings.model_folder, version_of(fitted.files, "1"), fitted.files)
    (settings.model_folder / "trees.bin").write_bytes(fitted.files["trees.bin"] + b"\0")
    with Supervisor(settings.home) as supervisor:
        serving = Serving(url, settings.model_folder, supervisor.log("scoring"), open_scorer, str(settings.api_key))
        part = ProcessSpec(
            name="scoring",
            command=[sys.executable, "-m", "services.scoring", *arguments],
            environment=child_environment(settings, **variables),
            ready=lambda: serving.status() != 0,
            ready_within_seconds=240.0,
        )
        supervisor.start(part)
        yield serving


def _be_somebody(patch: pytest.MonkeyPatch, url: str) -> None:
    patch.setenv("AWS_ACCESS_KEY_ID", "testing")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    patch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    patch.setenv("AWS_ENDPOINT_URL", url)
