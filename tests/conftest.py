"""Fixtures that several kinds of tests share: real servers, started once per session when a test first needs them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
import redis
from msgspec import structs
from xdist.scheduler import LoadFileScheduling

from adapters.runtime.kafka_connection import KafkaConnection
from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.settings import Settings, read_settings
from cardwatch.errors import CardwatchError
from infra.aws.deploy.terraform import INSTALL, Terraform
from infra.local_stack.embedded_kafka import EmbeddedKafka
from infra.local_stack.supervisor import Supervisor
from tests.e2e.toxiproxy import MISSING, TOXIPROXY


def pytest_configure() -> None:
    """Ctrl-C is tested, so it must work: a shell starts what runs in the background with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # OpenMP reads it when XGBoost loads: threads that spin while they wait take the cores from the other processes.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # noqa: TID251 (the environment of this test run)


SHARED_FIXTURES = (
    "tests/infra/moto/",
    "tests/infra/terraform/",
    "tests/integration/aws_jobs/",
    "tests/integration/test_scoring_",
)
"""Beginnings of the paths of tests that share an expensive fixture, and so run in one process."""


LONG_FILES = (
    "tests/e2e/test_loop.py",
    "tests/integration/test_prefect_flows.py",
    "tests/e2e/test_chaos.py",
    "tests/e2e/test_zombie.py",
)
"""Files that take a minute or more. They start first, so that the other process has work until the end."""


class SharedFixtureScheduling(LoadFileScheduling):  # type: ignore[misc]
    """Distributes tests by file, and those of `SHARED_FIXTURES` by group, so that a fixture is not set up twice."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return next((group for group in SHARED_FIXTURES if file.startswith(group)), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> SharedFixtureScheduling | None:
    """Replace the scheduler of `--dist loadfile`, which would start files with many tests first."""
    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return SharedFixtureScheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of `LONG_FILES` first, in that order."""
    order = {file: number for number, file in enumerate(LONG_FILES)}
    items.sort(key=lambda item: order.get(item.nodeid.partition("::")[0], len(order)))


Require = Callable[[object, str], None]

PROVIDER = """
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}
"""


@pytest.fixture(scope="session")
def require() -> Require:
    """Return a check that skips the test, with its message, if something that the machine may lack is not there.

    On CI (`CI` is set) the same check fails the test: CI must have everything.
    """
    verdict = pytest.fail if os.environ.get("CI") else pytest.skip  # noqa: TID251 (the environment of this test run)

    def check(found: object, message: str) -> None:
        if not found:
            verdict(f"NOT RUN: {message}")

    return check


@pytest.fixture(scope="session")
def terraform_program(require: Require, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of Terraform, once it has been seen to find its AWS provider."""
    program = shutil.which("terraform")
    require(program, f"Terraform is not installed, see {INSTALL}")
    folder = tmp_path_factory.mktemp("provider")
    (folder / "main.tf").write_text(PROVIDER)
    terraform = Terraform(structs.replace(read_settings(), home=folder), folder, aws={})
    try:
        terraform.init()
        found = True
    except CardwatchError:
        found = False
    require(
        found,
        "Terraform finds no AWS provider, neither in its registry nor on disk; set CARDWATCH_TF_PLUGINS to a folder"
        " with a filesystem mirror of it",
    )
    return str(program)


@pytest.fixture(scope="session")
def toxiproxy(require: Require) -> Path:
    """The program, built at its first use."""
    reason = MISSING
    program = None
    try:
        program = TOXIPROXY.find()
    except subprocess.CalledProcessError as error:  # there is no network, for example
        reason = f"Toxiproxy cannot be built: {error.stderr.strip()[-500:]}"
    require(program, reason)
    assert program is not None
    return program


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaConnection]:
    """A broker without topics; tests share it, so each uses topics and ids of its own."""
    settings = Settings(home=tmp_path_factory.mktemp("kafka"))
    broker = EmbeddedKafka(settings)
    with Supervisor(settings.home) as supervisor:
        supervisor.start(broker.process_spec())
        yield broker.connection


@pytest.fixture(scope="session")
def start_redis(
    require: Require,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., tuple[str, subprocess.Popen[bytes]]]]:
    """Starts a Redis or Valkey with further options, and gives its address and process; all are ended at the end."""
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    require(
        program,
        "Redis is not installed (redis-server or valkey-server); on Debian and Ubuntu: apt install redis-server",
    )
    with ExitStack() as running:

        def start(*options: str, port: int = 0, folder: Path | None = None) -> tuple[str, subprocess.Popen[bytes]]:
            port = port or free_ports(1)[0]
            folder = folder or tmp_path_factory.mktemp("redis")
            command = [program, "--port", str(port), "--bind", LOOPBACK, "--dir", str(folder), "--save", "", *options]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            running.callback(process.wait, timeout=10)
            running.callback(process.kill)
            _until_it_answers(port, process)
            return f"redis://{LOOPBACK}:{port}", process

        yield start


@pytest.fixture(scope="session")
def redis_url(start_redis: Callable[..., tuple[str, subprocess.Popen[bytes]]]) -> str:
    """The address of a server that tests share; each uses keys of its own, or empties it first."""
    return start_redis()[0]


class Postgres:
    """A PostgreSQL server of its own, which a test may kill and start again."""

    user, password = "cardwatch", "opensesame"

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._data = programs, folder / "data"
        [self.port] = free_ports(1)
        # PostgreSQL refuses to run as root.
        self._as = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
        if self._as:
            shutil.chown(folder, **self._as)
        (folder / "password").write_text(self.password)
        self._run("initdb", "-D", str(self._data), "-U", self.user, "-A", "scram-sha-256", "--no-sync",
                  f"--pwfile={folder / 'password'}")  # fmt: skip
        self._options = ["-k", str(folder), "-p", str(self.port), "-h", LOOPBACK, "-c", "fsync=off"]
        self.start()

    def start(self) -> None:
        """Start it, or start it again, and wait until it answers."""
        command = [str(self._programs / "postgres"), "-D", str(self._data), *self._options]
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._as,  # type: ignore[call-overload]
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def kill(self) -> None:
        """End it without warning, and all connections with it."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(timeout=20)

    def new_database(self) -> str:
        """The address of an empty database."""
        name = f"test_{time.monotonic_ns()}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, database: str) -> str:
        return f"postgresql://{self.user}:{self.password}@{LOOPBACK}:{self.port}/{database}"

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._programs / program), *arguments], check=True, capture_output=True, cwd="/", **self._as
        )


@pytest.fixture(scope="session")
def postgres(require: Require) -> Iterator[Postgres]:
    """A PostgreSQL server that tests share; each uses a database of its own."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    program = Path(shutil.which("postgres") or (found[-1] if found else ""))
    require(program.name, "PostgreSQL is not installed; on Debian and Ubuntu: apt install postgresql")
    with tempfile.TemporaryDirectory(prefix="cardwatch-postgres-") as folder:
        server = Postgres(program.parent, Path(folder))
        yield server
        server.kill()


@pytest.fixture(scope="session")
def dynamodb_endpoint() -> Iterator[str]:
    """The address of moto's DynamoDB without tables, and credentials in the environment that it takes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # what moto imports has some
        from moto.server import ThreadedMotoServer  # noqa: PLC0415

    server = ThreadedMotoServer(ip_address=LOOPBACK, port=0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()


def _until_it_answers(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 15
    with redis.Redis(host=LOOPBACK, port=port) as client:
        while True:
            try:
                client.ping()
                return
            except redis.ConnectionError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
