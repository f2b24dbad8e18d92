"""What the real compose makes of docker-compose.yml."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import pytest
import yaml

from adapters.runtime.settings import child_environment, read_settings
from infra.compose import ROOT, SECRETS
from tests.chaos.real_compose import find_compose
from tests.go_programs import BUILD_SECONDS, DOWNLOAD_SECONDS

pytestmark = [pytest.mark.compose, pytest.mark.timeout(DOWNLOAD_SECONDS + BUILD_SECONDS)]

FILE = ROOT / "docker-compose.yml"
WRITTEN: dict[str, Any] = yaml.safe_load(FILE.read_text())
CORE = {name for name, service in WRITTEN["services"].items() if "profiles" not in service}
MEGABYTES = {"m": 1, "g": 1_024}

Config = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def config(require: Callable[[object, str], None], tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Calls `compose config` with these profiles, variables and further files, and returns the resolved project."""
    command = find_compose()
    require(
        command, "neither Docker's compose nor Go is installed; on Debian and Ubuntu: apt install docker-compose-v2"
    )
    assert command is not None
    nothing = tmp_path_factory.mktemp("compose") / "empty.env"  # not the `.env` of whoever runs the tests
    nothing.touch()

    def resolve(*profiles: str, files: tuple[Path, ...] = (), **variables: str) -> dict[str, Any]:
        options = [part for file in (FILE, *files) for part in ("-f", str(file))]
        options += [part for profile in profiles for part in ("--profile", profile)]
        resolved = subprocess.run(
            [
                *command,
                "--project-directory",
                str(ROOT),
                "--env-file",
                str(nothing),
                *options,
                "config",
                "--format",
                "json",
            ],
            env=child_environment(read_settings({}), **variables),
            capture_output=True,
            text=True,
            timeout=60.0,
            check=False,
        )
        assert resolved.returncode == 0, resolved.stderr
        assert resolved.stderr == "", "a warning, such as an unset variable"
        return json.loads(resolved.stdout)  # type: ignore[no-any-return]

    return resolve


@pytest.mark.parametrize(
    ("profiles", "further"),
    [
        ((), set[str]()),
        (("demo",), {"generator", "bootstrap"}),
        (("observability",), {"prometheus", "grafana"}),
        (("demo", "observability"), {"generator", "bootstrap", "prometheus", "grafana"}),
    ],
)
def test_smoke_each_profile_has_its_services(config: Config, profiles: tuple[str, ...], further: set[str]) -> None:
    assert set(config(*profiles)["services"]) == CORE | further


def test_smoke_every_service_keeps_its_limits_privileges_and_networks(config: Config) -> None:
    project = config("demo", "observability")
    for name, written in WRITTEN["services"].items():
        service = project["services"][name]
        assert int(service["mem_limit"]) == int(written["mem_limit"][:-1]) * MEGABYTES[written["mem_limit"][-1]] << 20
        assert int(service["pids_limit"]) == written["pids_limit"], name
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service.get("read_only", False) is (name != "kafka")
        assert set(service["networks"]) == set(written["networks"])
    networks = {name: network.get("internal", False) for name, network in project["networks"].items()}
    assert {name for name, is_internal in networks.items() if is_internal} == {
        "index",
        "mlflow-database",
        "prefect-database",
        "store",
        "metrics",
    }
    assert set(networks) == set(WRITTEN["networks"]), "the default network is used too"


def test_smoke_every_health_check_is_the_command_that_is_written(config: Config) -> None:
    services = config("demo", "observability")["services"]
    assert {name for name, service in services.items() if "healthcheck" not in service} == {"bootstrap"}
    for name, service in services.items():
        if name != "bootstrap":
            check, written = service["healthcheck"], WRITTEN["services"][name]["healthcheck"]
            assert check["test"] == written["test"]
            assert check.get("start_period", "") == {"300s": "5m0s", None: ""}[written.get("start_period")]
            assert (check["interval"], check["timeout"]) == ("10s", "5s")
            assert not check.get("disable", False)


def test_smoke_ports_are_published_on_loopback_and_can_be_chosen(config: Config) -> None:
    services = config("observability", KAFKA_PORT="19094")["services"]
    ports = {
        (name, port["host_ip"], port["published"])
        for name, service in services.items()
        for port in service.get("ports", [])
    }
    assert ports == {
        ("kafka", "127.0.0.1", "19094"), ("mlflow", "127.0.0.1", "5000"), ("prefect", "127.0.0.1", "4200"),
        ("scoring", "127.0.0.1", "3000"), ("console", "127.0.0.1", "8080"),
        ("prometheus", "127.0.0.1", "9090"), ("grafana", "127.0.0.1", "3001"),
    }  # fmt: skip
    assert services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].endswith("OUTSIDE://localhost:19094")


def test_smoke_files_of_the_repository_are_mounted_read_only_and_relabelled_for_selinux(config: Config) -> None:
    services = config("demo", "observability")["services"]
    mounts = [
        volume for service in services.values() for volume in service.get("volumes", []) if volume["type"] == "bind"
    ]
    assert {Path(mount["source"]).relative_to(ROOT).parts[0] for mount in mounts} == {"infra", "monitoring"}
    assert len(mounts) == 4
    assert all(mount["read_only"] and mount["bind"]["selinux"] == "z" for mount in mounts)


def test_smoke_secrets_come_from_the_environment_and_grafana_has_its_own(config: Config) -> None:
    given = {name: token_urlsafe(8) for name in SECRETS}
    services = config("observability", **given)["services"]
    assert services["scoring"]["environment"]["CARDWATCH_API_KEY"] == given["CARDWATCH_API_KEY"]
    assert services["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"] == given["GRAFANA_PASSWORD"]
    assert services["console"]["environment"]["CARDWATCH_CONSOLE_TOKEN"] == given["CARDWATCH_CONSOLE_TOKEN"]
    assert config()["services"]["console"]["environment"]["CARDWATCH_CONSOLE_TOKEN"] == ""
    default = config("observability")["services"]["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"]
    assert default not in ("", "admin")


def test_smoke_the_file_of_the_tests_can_be_merged(config: Config) -> None:
    services = config("demo", "traffic", files=(Path(__file__).parent / "compose.yml",))["services"]
    assert services["traffic"]["networks"] == {"log": None}
    assert services["generator"]["command"][-1] == "/plans/history.json"
    assert services["generator"]["pids_limit"] == WRITTEN["services"]["generator"]["pids_limit"]
