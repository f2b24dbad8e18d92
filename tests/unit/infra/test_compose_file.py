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
def test_a_long_running_service_has_a_health_check(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check.get("test") or (check == {"disable": True} and name == "bootstrap")


@each
def test_ports_are_published_on_this_machine_only(name: str) -> None:
    assert all(re.match(r"127\.0\.0\.1:\$\{[A-Z]+_PORT:-\d+\}:\d+$", port) for port in SERVICES[name].get("ports", []))


@each
def test_an_external_image_is_pinned_and_an_own_one_is_built(name: str) -> None:
    service = SERVICES[name]
    if name not in OURS:
        assert re.search(r":v?\d+(\.\d+)*$", service["image"]), "the tag is not fixed"
        return
    target = service["image"].removeprefix("cardwatch/")
    assert re.search(rf"^FROM \w+ AS {target}$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert service.get("build", {"context": ".", "target": target}) == {"context": ".", "target": target}


@each
def test_the_data_of_a_service_are_in_named_volumes(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source = volume.partition(":")[0]
        assert source in COMPOSE["volumes"] or (source.startswith("./") and volume.endswith(":ro"))
        assert source in COMPOSE["volumes"] or (ROOT / source).exists(), f"{source} is not in the repository"


@each
def test_every_setting_exists(name: str) -> None:
    known = {PREFIX + field.name.upper() for field in structs.fields(Settings)}
    given = {key for key in SERVICES[name].get("environment", {}) if key.startswith(PREFIX)}
    assert given <= known


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
