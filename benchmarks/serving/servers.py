"""Start the servers that are compared: the scoring service, the floor, and the naive servers, each on a free port.

Each `ServerFactory` takes settings whose `scoring_url` is the address to listen on, and whose home has the model.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

import psutil
from msgspec import Struct, structs

from adapters.local_stack.readiness import is_responding
from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.settings import Settings, child_environment
from infra.local_stack.servers import server_spec
from infra.local_stack.supervisor import ProcessSpec, Supervisor

MLFLOW_FOLDER: Final = "mlflow-model"
"""Folder in a benchmark's home with the same model in MLflow's format."""
_WRITE_BYTECODE: Final = {"PYTHONDONTWRITEBYTECODE": ""}
"""Override of the environment: without cached bytecode, a start would include compiling every module."""
_BENTOML_WORKER: Final = "_bentoml_impl.worker.service"


class Server(Struct, frozen=True):
    """A running server: its address, and the id of the process that handles requests."""

    url: str
    pid: int


class Candidate(Struct, frozen=True, kw_only=True):
    """A server to be started. `worker` is a part of the command line of the process that handles requests."""

    part: ProcessSpec
    worker: str


ServerFactory = Callable[[Settings], Candidate]


@contextmanager
def registry(settings: Settings) -> Iterator[tuple[Supervisor, Settings]]:
    """Run an MLflow server with the models in `settings.home`; yield the supervisor, and settings with its address."""
    [port] = free_ports(1)
    named = structs.replace(settings, mlflow_url=f"http://{LOOPBACK}:{port}")
    with Supervisor(named.home) as supervisor:
        supervisor.start(server_spec("mlflow", named))
        yield supervisor, named


@contextmanager
def running_servers(settings: Settings, *factories: ServerFactory) -> Iterator[list[Server]]:
    """Run all of these servers and the registry at the same time, and yield the servers when they are ready."""
    with registry(settings) as (supervisor, named):
        each = on_free_ports(named, len(factories))
        candidates = [factory(own) for factory, own in zip(factories, each, strict=True)]
        supervisor.start(*(candidate.part for candidate in candidates))
        yield [
            Server(own.scoring_url, worker_pid(supervisor.pid(candidate.part.name), candidate.worker))
            for own, candidate in zip(each, candidates, strict=True)
        ]


def on_free_ports(settings: Settings, count: int) -> list[Settings]:
    """Return `count` copies of the settings, each with another free address to listen on."""
    return [structs.replace(settings, scoring_url=f"http://{LOOPBACK}:{port}") for port in free_ports(count)]


def worker_pid(pid: int, worker: str) -> int:
    """Return the id of the one process among `pid` and its descendants whose command line contains `worker`."""
    top = psutil.Process(pid)
    found = [each.pid for each in (top, *top.children(recursive=True)) if worker in " ".join(each.cmdline())]
    if len(found) != 1:
        raise RuntimeError(f"{len(found)} processes of {pid} are called {worker}, not one")
    return found[0]


def scoring(settings: Settings) -> Candidate:
    """The scoring service, which is ready when it serves the champion."""
    name = f"scoring-{urlsplit(settings.scoring_url).port}"
    return Candidate(part=_part(settings, name, ["services.scoring"], "/readyz"), worker=_BENTOML_WORKER)


def floor(settings: Settings) -> Candidate:
    """`benchmarks.serving.floor`, with the options and environment of `services.scoring`."""
    options = ["--timeout-keep-alive", "75", "--timeout-graceful-shutdown", "5"]
    return _bentoml(settings, "floor:Floor", options, BENTOML_CONFIG_OPTIONS='tracing.excluded_urls=".*"')


def empty(settings: Settings) -> Candidate:
    """`benchmarks.serving.empty` as `bentoml serve` starts it."""
    return _bentoml(settings, "empty:Empty", [])


def naive_bentoml(settings: Settings) -> Candidate:
    """`benchmarks.serving.naive_bentoml` as `bentoml serve` starts it."""
    return _bentoml(settings, "naive_bentoml:NaiveBentoml", [])


def naive_fastapi(settings: Settings) -> Candidate:
    """`benchmarks.serving.naive_fastapi` as uvicorn starts it."""
    command = ["uvicorn", "benchmarks.serving.naive_fastapi:app", *_address(settings)]
    return Candidate(part=_part(settings, "naive_fastapi", command, "/openapi.json"), worker="uvicorn")


def naive_mlflow(settings: Settings) -> Candidate:
    """`mlflow models serve` as MLflow's documentation starts it ("Deploy MLflow Model as a Local Inference Server")."""
    folder = settings.home / MLFLOW_FOLDER
    command = ["mlflow", "models", "serve", "--model-uri", str(folder), "--env-manager", "local", *_address(settings)]
    part = _part(
        settings,
        "naive_mlflow",
        command,
        "/ping",
        MLFLOW_DISABLE_TELEMETRY="true",
        PATH=os.pathsep.join([sysconfig.get_path("scripts"), os.defpath]),  # MLflow starts uvicorn by name
    )
    return Candidate(part=part, worker="uvicorn")


def _bentoml(settings: Settings, service: str, options: list[str], **environment: str) -> Candidate:
    name = service.partition(":")[0]
    home = settings.home.absolute() / f"bentoml-{name}"
    home.mkdir(exist_ok=True)
    command = ["bentoml", "serve", f"benchmarks.serving.{service}", *_address(settings), *options]
    own = {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
    return Candidate(part=_part(settings, name, command, "/readyz", **own, **environment), worker=_BENTOML_WORKER)


def _part(settings: Settings, name: str, module: list[str], ready: str, **environment: str) -> ProcessSpec:
    """Return how to start `python -m` with a module and its arguments. It is ready when it answers at the path."""
    return ProcessSpec(
        name=name,
        command=[sys.executable, "-m", *module],
        environment=child_environment(settings, **_WRITE_BYTECODE, **environment),
        ready=lambda: is_responding(settings.scoring_url + ready),
    )


def _address(settings: Settings) -> list[str]:
    address = urlsplit(settings.scoring_url)
    return ["--host", str(address.hostname), "--port", str(address.port)]
