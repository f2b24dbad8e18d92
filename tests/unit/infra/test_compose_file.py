"""docker-compose.yml follows the compose specification and our own rules."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec import structs

from adapters.runtime.settings import PREFIX, Settings
from infra.compose import SECRETS

ROOT = Path(__file__).resolve().parents[3]
FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("cardwatch/")}
each = pytest.mark.parametrize("name", SERVICES)


def test_it_is_valid_under_the_schema_of_the_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


@each
def test_a_service_has_limits_and_no_privileges(name: str) -> None:
    service = SERVICES[name]
    assert service["mem_limit"]
    assert 0 < service["pids_limit"] <= 1_024
    assert service["restart"] in ("unless-stopped", "on-failure")
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("read_only") is True or name == "kafka"
    assert not {"privileged", "network_mode", "pid", "devices"} & service.keys()


@each
def test_a_service_does_not_run_as_root(name: str) -> None:
    assert name in OURS or SERVICES[name]["user"] not in ("0", "root")
    assert re.search(r"^USER 10001$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


@each
def test_a_long_running_service_has_a_health_check_and_a_service_that_exits_has_none(name: str) -> None:
    """`up --wait` fails for a service whose check is disabled; without one it waits until the container runs."""
    if name == "bootstrap":
        assert "healthcheck" not in SERVICES[name]
        return
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD", "a shell differs between images"
    assert check["retries"] >= 3
    assert name in ("valkey", "prometheus", "grafana") or check["start_period"] == "300s"


@each
def test_a_health_check_does_not_depend_on_other_services_or_on_traffic(name: str) -> None:
    check = " ".join(SERVICES[name].get("healthcheck", {}).get("test", []))
    assert "ready" not in check.replace("pg_isready", "")
    assert "localhost" not in check, "it may be an IPv6 address, at which the server does not listen"
    if name in OURS.keys() - {"mlflow", "prefect", "bootstrap"}:
        assert re.search(r"http://127\.0\.0\.1:(9464|3000)/livez$", check)


def test_a_service_starts_although_what_it_calls_is_not_healthy() -> None:
    conditions = {name: service.get("depends_on", []) for name, service in SERVICES.items()}
    assert all(isinstance(called, list) for called in conditions.values()), "a list waits for no state"


def test_a_server_is_reached_only_by_the_services_that_call_it() -> None:
    """Pipelines need not reach scoring, nor its targets Prometheus, but they share a network for other reasons."""
    reached = {
        server: {
            name
            for name, service in SERVICES.items()
            if name != server and set(service["networks"]) & set(SERVICES[server]["networks"])
        }
        for server in ("kafka", "postgres", "valkey", "mlflow", "prefect", "scoring", "prometheus", "grafana")
    }
    scraped = {"pipelines", "stream", "archive", "monitor", "generator", "console"}
    assert reached == {
        "kafka": {"pipelines", "stream", "archive", "monitor", "generator", "bootstrap", "console"},
        "postgres": {"mlflow", "prefect", "pipelines", "stream", "archive", "monitor", "console"},
        "valkey": {"pipelines", "scoring", "stream"},
        "mlflow": {"console", "pipelines", "scoring", "monitor", "bootstrap"} | {"postgres"},
        "prefect": {"console", "pipelines", "monitor", "bootstrap"} | {"postgres"},
        "scoring": {"console", "stream", "monitor", "bootstrap", "prometheus", "pipelines"} | {"valkey", "mlflow"},
        "prometheus": {"grafana"} | scraped | {"scoring", "bootstrap"},
        "grafana": {"prometheus"},
    }


@each
def test_a_service_shares_a_network_with_each_service_that_it_depends_on(name: str) -> None:
    """Bootstrap needs pipelines and archive, but reaches them through the flow runs and the log."""
    mine = set(SERVICES[name]["networks"])
    for called in set(SERVICES[name].get("depends_on", [])) - (
        {"pipelines", "archive"} if name == "bootstrap" else set()
    ):
        assert mine & set(SERVICES[called]["networks"]), f"{name} cannot reach {called}"


def test_networks_of_stores_and_metrics_have_no_way_out() -> None:
    internal = {name for name, network in COMPOSE["networks"].items() if network == {"internal": True}}
    assert internal == {"index", "mlflow-database", "prefect-database", "store", "metrics"}
    for name, service in SERVICES.items():  # a port cannot be published on an internal network
        assert not service.get("ports") or set(service["networks"]) - internal, name


def test_prometheus_is_in_one_network_with_everything_that_it_scrapes() -> None:
    jobs = yaml.safe_load((ROOT / "monitoring" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    for job in jobs:
        assert set(SERVICES["prometheus"]["networks"]) & set(SERVICES[job["job_name"]]["networks"]), job["job_name"]


def test_grafana_has_a_password_of_its_own_and_the_console_no_token_that_is_known() -> None:
    password = SERVICES["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"]
    assert password.startswith("${GRAFANA_PASSWORD:-")
    assert not password.endswith(("-admin}", "-}"))
    assert SERVICES["console"]["environment"]["CARDWATCH_CONSOLE_TOKEN"] == "${CARDWATCH_CONSOLE_TOKEN:-}"  # noqa: S105 (no default)
    used = set(re.findall(r"\$\{([A-Z_]+)", FILE.read_text()))
    assert set(SECRETS) <= used


@each
def test_ports_are_published_on_this_machine_only(name: str) -> None:
    assert all(
        re.match(r"127\.0\.0\.1:(\$\{[A-Z]+_PORT:-\d+\}):(\d+|\1)$", port) for port in SERVICES[name].get("ports", [])
    )


@each
def test_an_external_image_is_pinned_and_an_own_one_is_built(name: str) -> None:
    service = SERVICES[name]
    if name not in OURS:
        assert re.search(r":v?\d+(\.\d+)*(@sha256:[0-9a-f]{64})?$", service["image"]), "the tag is not fixed"
        return
    target = service["image"].removeprefix("cardwatch/")
    assert re.search(rf"^FROM \w+ AS {target}$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert service.get("build", {"context": ".", "target": target}) == {"context": ".", "target": target}


@each
def test_the_data_of_a_service_are_in_named_volumes(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source = volume.partition(":")[0]
        # Without `z` a container cannot read files of the host where SELinux is enforced.
        assert source in COMPOSE["volumes"] or (source.startswith("./") and volume.endswith(":ro,z"))
        assert source in COMPOSE["volumes"] or (ROOT / source).exists(), f"{source} is not in the repository"


@each
def test_every_setting_exists(name: str) -> None:
    known = {PREFIX + field.name.upper() for field in structs.fields(Settings)}
    given = {key for key in SERVICES[name].get("environment", {}) if key.startswith(PREFIX)}
    assert given <= known


def test_every_network_is_used() -> None:
    used = [network for service in SERVICES.values() for network in service["networks"]]
    assert set(COMPOSE["networks"]) == set(used)
    assert min(used.count(network) for network in used) >= 2


def test_every_volume_is_used() -> None:
    used = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert set(COMPOSE["volumes"]) == {volume for volume in used if not volume.startswith("./")}


def test_only_traffic_and_dashboards_have_profiles() -> None:
    profiles = {name: service.get("profiles", []) for name, service in SERVICES.items()}
    assert {name for name, service_profiles in profiles.items() if service_profiles == ["demo"]} == {
        "generator",
        "bootstrap",
    }
    assert {name for name, service_profiles in profiles.items() if service_profiles == ["observability"]} == {
        "prometheus",
        "grafana",
    }
