"""Format, validation, `terraform test` and checkov for both roots and their module."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from infra.aws.hcl import read_variables

pytestmark = pytest.mark.proves("plan", "the configuration is formatted and valid, and checkov finds nothing in it")

TERRAFORM = Path(__file__).resolve().parents[3] / "infra" / "terraform"
ROOTS = [path for path in (TERRAFORM, TERRAFORM / "bootstrap") if list(path.glob("*.tf"))]
MAX_SKIPS = 12

WARNING = re.compile(r"^Warning: .*\n(?:\n)?  with ([\w.]+)", re.MULTILINE)
UNAVOIDABLE = {"aws_api_gateway_account.logs"}  # the provider warns of an attribute, set or not

SKIP = re.compile(r"checkov:skip=(?P<check>\w+)(?::(?P<reason>.*))?")


def test_every_file_is_formatted(terraform: Any) -> None:
    formatted = terraform.run("fmt", "-check", "-recursive", "-diff", folder=TERRAFORM)
    assert formatted.returncode == 0, formatted.stdout + formatted.stderr


def test_the_system_is_valid(terraform: Any) -> None:
    validated = terraform.run("validate")
    assert validated.returncode == 0, validated.stderr
    assert set(WARNING.findall(validated.stdout)) <= UNAVOIDABLE


def test_what_comes_before_it_is_valid(terraform: Any) -> None:
    bootstrap = terraform.folder / "bootstrap"
    init = terraform.run("init", "-backend=false", "-input=false", folder=bootstrap)
    assert init.returncode == 0, init.stderr
    validated = terraform.run("validate", folder=bootstrap)
    assert validated.returncode == 0, validated.stderr
    assert WARNING.findall(validated.stdout) == []


@pytest.mark.parametrize("file", ["plan", "variables", "modules"])
def test_the_tests_in_terraforms_own_language_pass(terraform: Any, file: str) -> None:
    tested = terraform.run("test", f"-filter=tests/{file}.tftest.hcl")
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: root.name)
def test_checkov_finds_nothing(checkov: str, root: Path) -> None:
    skipped = [f"--skip-path={path.name}" for path in root.iterdir() if path.is_dir()]
    options = ["--framework=terraform", "--skip-download", "--quiet", "--compact", "--output=json", *skipped]
    checked = subprocess.run([checkov, f"--directory={root}", *options], capture_output=True, text=True, check=False)
    found = json.loads(checked.stdout)
    failed = [
        f"{check['check_id']} {check['resource']}: {check['check_name']}" for check in found["results"]["failed_checks"]
    ]
    assert failed == []
    assert found["summary"]["parsing_errors"] == 0
    assert found["summary"]["passed"] > 0


def test_few_checks_are_skipped_and_each_for_a_reason() -> None:
    skips = [skip for path in TERRAFORM.rglob("*.tf") for skip in SKIP.finditer(path.read_text(encoding="utf-8"))]
    assert len(skips) <= MAX_SKIPS
    for skip in skips:
        assert len((skip["reason"] or "").split()) >= 4, skip[0]


@pytest.mark.parametrize("name", ["moto", "production", "sandbox"])
def test_an_environment_sets_variables_that_there_are(name: str) -> None:
    variables = read_variables(TERRAFORM, TERRAFORM / "envs" / name / "terraform.tfvars")
    assert variables.text("environment") == name


def test_the_stand_in_is_told_everything() -> None:
    variables = read_variables(TERRAFORM, TERRAFORM / "envs" / "moto" / "terraform.tfvars")
    declared = set(re.findall(r'^variable "(\w+)"', "".join(map(Path.read_text, TERRAFORM.glob("*.tf"))), re.MULTILINE))
    assert [name for name in declared if name not in variables] == []


@pytest.mark.parametrize("name", ["production", "sandbox"])
def test_a_state_is_locked_encrypted_by_its_bucket_and_the_environments_own(name: str) -> None:
    backend = (TERRAFORM / "envs" / name / "backend.hcl").read_text(encoding="utf-8")
    assert "encrypt " not in re.sub(r"#.*", "", backend)  # it would take S3's key instead of the bucket's own
    assert re.search(r"^use_lockfile += true$", backend, re.MULTILINE)
    assert re.search(rf'^key += "cardwatch/{name}\.tfstate"$', backend, re.MULTILINE)
