"""One spelling of a database's password for all parts, whatever characters it has, on a real PostgreSQL."""

from __future__ import annotations

import re
import subprocess
import sys
import traceback
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml
from psycopg import sql

from adapters.archive.reader import Archive
from adapters.archive.writer import ArchiveWriter
from adapters.local_stack.readiness import READY_PATHS, is_responding
from adapters.runtime.ports import free_ports
from adapters.runtime.settings import Settings, child_environment, read_settings
from cardwatch.errors import Misconfigured, Unavailable
from infra.images import servers
from infra.images.database_login import log_in
from infra.local_stack.supervisor import ProcessSpec, Supervisor

COMPOSE: dict[str, Any] = yaml.safe_load((Path(__file__).resolve().parents[2] / "docker-compose.yml").read_text())
PASSWORDS = [
    "Tr0ub4dor-3", "p@s/s#w%rd?:1", "p[s]s", "p%2Fss", "p%ss", " a space ", "quo'te\"s", "back\\slash", "do$lar${HOME}",
    "pässwörd密码", "a+b&c=d;e",
]  # fmt: skip


class Role:
    """A role with a password, and a database of its own."""

    def __init__(self, postgres: Any, password: str) -> None:
        self.password, self.port = password, postgres.port
        name = f"role_{abs(hash(password))}"
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
            statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(password))
            connection.execute(statement)
            connection.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(sql.Identifier(name)))
        self.name = name

    def environment(self, service: str) -> dict[str, str]:
        """The variables of a service in docker-compose.yml, with this database instead of the container's."""
        given = {key: str(value) for key, value in COMPOSE["services"][service]["environment"].items()}
        given = {key: value for key, value in given.items() if key.endswith(("INDEX_URL", "DATABASE_URL", "PASSWORD"))}
        interpolated = {
            key: re.sub(r"\$\{POSTGRES_PASSWORD[^}]*\}", lambda _: self.password, value) for key, value in given.items()
        }
        return {
            key: re.sub(r"cardwatch@postgres:5432/\w+", f"{self.name}@127.0.0.1:{self.port}/{self.name}", value)
            for key, value in interpolated.items()
        }


@pytest.mark.parametrize("password", PASSWORDS)
def test_archive_mlflow_and_prefect_take_the_password_that_compose_gives_them(
    postgres: Any, tmp_path: Path, password: str
) -> None:
    role = Role(postgres, password)
    settings = read_settings(role.environment("archive"))
    with closing(ArchiveWriter(tmp_path, settings.index_url)) as writer:
        assert writer.positions() == {}
    assert Archive(tmp_path, settings.index_url).days() == []
    for server in ("mlflow", "prefect"):
        log_in(read_settings(role.environment(server)), server)


@pytest.mark.parametrize("server", ["mlflow", "prefect"])
def test_a_wrong_password_is_one_line_without_it_and_an_absent_server_is_waited_for(postgres: Any, server: str) -> None:
    place = f"127.0.0.1:{postgres.port}/postgres"
    wrong = read_settings(
        {"CARDWATCH_DATABASE_URL": f"postgresql://cardwatch@{place}", "CARDWATCH_POSTGRES_PASSWORD": "hunt/er2"}
    )
    with pytest.raises(Misconfigured, match=r"rejects the login: .*CARDWATCH_POSTGRES_PASSWORD") as refusal:
        log_in(wrong, server)
    shown = "".join(traceback.format_exception(refusal.value))
    assert "hunt" not in shown
    assert "\n" not in str(refusal.value)
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9 does not answer") as absence:
        log_in(read_settings({"CARDWATCH_DATABASE_URL": "postgresql://cardwatch:hunter2@127.0.0.1:9/db"}), server)
    assert "hunter2" not in str(absence.value)
    assert absence.value.__context__ is None  # the driver's error may hold the address


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"CARDWATCH_DATABASE_URL": "postgresql://cardwatch:hunt@er2@127.0.0.1:1/mlflow"}, "must be percent-encoded"),
        ({"CARDWATCH_DATABASE_URL": "postgresql://cardwatch:hunt[er2@127.0.0.1:1/mlflow"}, "cannot be read"),
        ({"CARDWATCH_DATABASE_URL": "{wrong}", "CARDWATCH_POSTGRES_PASSWORD": "hunt#er2"}, "rejects the login"),
    ],
)
def test_a_server_that_cannot_log_in_ends_with_one_line_and_no_traceback(
    postgres: Any, tmp_path: Path, variables: dict[str, str], message: str
) -> None:
    wrong = f"postgresql://cardwatch@127.0.0.1:{postgres.port}/postgres"
    given = {key: value.replace("{wrong}", wrong) for key, value in variables.items()}
    [port] = free_ports(1)
    completed = subprocess.run(
        [sys.executable, "-m", "infra.images.servers", "mlflow"],
        env=child_environment(Settings(home=tmp_path, mlflow_url=f"http://127.0.0.1:{port}"), **given),  # type: ignore[arg-type]
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert completed.returncode == 2
    assert message in completed.stderr
    assert len(completed.stderr.splitlines()) == 1
    assert "hunt" not in completed.stdout + completed.stderr


@pytest.mark.long
@pytest.mark.parametrize("name", ["mlflow", "prefect"])
def test_a_server_works_on_a_database_whose_password_has_special_characters(
    postgres: Any, tmp_path: Path, name: str
) -> None:
    role = Role(postgres, f"p@s/s#w%rd?:1 [ü] '\"\\$ {name}")
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    environment = {**role.environment(name), f"CARDWATCH_{name.upper()}_URL": url}
    spec = ProcessSpec(
        name=name,
        command=[sys.executable, "-m", servers.__name__, name],
        environment=child_environment(Settings(home=tmp_path), **environment),
        ready=lambda: is_responding(url + READY_PATHS[name]),
        ready_within_seconds=180.0,
    )
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(spec)
        assert httpx.get(url + READY_PATHS[name], trust_env=False).is_success
        with psycopg.connect(
            host="127.0.0.1", port=role.port, user=role.name, password=role.password, dbname=role.name
        ) as connection:
            found = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        assert found and found[0] > 10  # the server keeps its data there, not in SQLite
        assert "s#w" not in supervisor.log(name).read_text()
