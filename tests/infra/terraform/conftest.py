"""Terraform in a copy of the roots, and all resources with the attributes that AWS would get."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from adapters.runtime.settings import read_settings

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENTS = ("moto", "production", "sandbox")
ACCOUNT, REGION = "123456789012", "eu-central-1"
_RESOURCE = r'^resource "(\w+)" "(\w+)"'

# Overrides of AWS's responses, and the variables that no environment sets.
NOWHERE = """
provider "aws" {
  region                      = "eu-central-1"
  access_key                  = "none"
  secret_key                  = "none"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

override_data {
  target = data.aws_caller_identity.current
  values = { account_id = "123456789012" }
}

variables {
  image_tag               = "abc"
  champion_model_data_url = "s3://models-of-another-account/models/first/model.tar.gz"
  model_reader_accounts   = ["210987654321"]
}
"""


class Resource(NamedTuple):
    """A resource that would be created: its address, type and attributes."""

    address: str
    type: str
    values: dict[str, Any]


class Terraform(NamedTuple):
    """The program, its folder, and an environment with its providers and without an AWS account."""

    program: str
    folder: Path
    environment: dict[str, str]

    def run(self, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command and return its result."""
        return subprocess.run(
            [self.program, f"-chdir={folder or self.folder}", *arguments, "-no-color"],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="session")
def terraform(terraform_program: str, tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """Terraform in a copy of `infra/terraform`, whose providers are there and whose backend is not."""
    home = tmp_path_factory.mktemp("terraform")
    for folder in ("infra/terraform", "docs/contracts"):
        shutil.copytree(ROOT / folder, home / folder, ignore=shutil.ignore_patterns(".terraform*"))
    found = Terraform(terraform_program, home / "infra" / "terraform", _environment(home))
    init = found.run("init", "-backend=false", "-input=false")
    assert init.returncode == 0, init.stderr
    return found


def _environment(home: Path) -> dict[str, str]:
    inherited = {
        key: value
        for key, value in os.environ.items()  # noqa: TID251 (a child's)
        if not key.startswith(("AWS_", "TF_")) or key in ("TF_CLI_CONFIG_FILE", "TF_PLUGIN_CACHE_DIR")
    }
    if mirror := read_settings().tf_plugins:
        configuration = home / "terraform.rc"
        path = json.dumps(str(mirror.absolute()))
        configuration.write_text(f"provider_installation {{\n  filesystem_mirror {{\n    path = {path}\n  }}\n}}\n")
        inherited["TF_CLI_CONFIG_FILE"] = str(configuration)
    return {**inherited, "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}


@pytest.fixture(scope="session")
def checkov(require: Callable[[object, str], None]) -> str:
    """The program checkov: in its own environment, or where the variable says."""
    own = ROOT / "tools" / "checkov" / ".venv" / "bin" / "checkov"
    program = os.environ.get("CARDWATCH_CHECKOV") or (str(own) if own.is_file() else None)  # noqa: TID251
    require(
        program,
        "checkov is not installed, and infra/terraform was NOT checked by it: "
        "`.venv/bin/uv sync --frozen --project tools/checkov`, or its path in CARDWATCH_CHECKOV",
    )
    return str(program)


@pytest.fixture(scope="session")
def made(terraform: Terraform) -> list[Resource]:
    """All resources, applied with the variables of `production` but without AWS.

    Every resource is overridden and gets a generated ARN, as are responses of AWS. Values that Terraform
    computes itself, such as policies, are real. Before that each environment is planned.
    """
    file = terraform.folder / "tests" / "everything.tftest.hcl"
    plans = [_run(f"plan_{name}", "plan", name) for name in ENVIRONMENTS]
    file.write_text("\n".join([NOWHERE, *_overrides(terraform.folder), *plans, _run("make", "apply", "production")]))
    tested = terraform.run("test", "-json", "-verbose", f"-filter=tests/{file.name}")
    said = [json.loads(line) for line in tested.stdout.splitlines()]
    assert tested.returncode == 0, [line["diagnostic"] for line in said if line.get("type") == "diagnostic"]
    [state] = [line["test_state"] for line in said if line.get("type") == "test_state"]
    root = state["root_module"]
    return [
        Resource(found["address"], found["type"], found["values"])
        for module in [root, *root["child_modules"]]
        for found in module["resources"]
        if found["mode"] == "managed"
    ]


def _run(name: str, command: str, environment: str) -> str:
    variables = (ROOT / "infra" / "terraform" / "envs" / environment / "terraform.tfvars").read_text(encoding="utf-8")
    return f'run "{name}" {{\n  command = {command}\n\n  variables {{\n{variables}\n  }}\n}}\n'


def _overrides(folder: Path) -> list[str]:
    """Return an `override_resource` for each resource of the root and of its modules."""
    modules = {name: folder / source for name, source in _declared(folder, r'^module "(\w+)" \{\s+source = "(.+)"')}
    targets = [(f"{kind}.{name}", kind, name) for kind, name in _declared(folder, _RESOURCE)]
    for module, source in modules.items():
        targets += [(f"module.{module}.{kind}.{name}", kind, module) for kind, name in _declared(source, _RESOURCE)]
    return [
        f"override_resource {{\n  target = {target}\n  values = {{ {_answer(kind, name)} }}\n}}\n"
        for target, kind, name in targets
    ]


def _declared(folder: Path, pattern: str) -> list[tuple[str, str]]:
    """Return the two groups of `pattern` wherever it matches in the files of `folder`."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.tf"))]
    return [found for text in texts for found in re.findall(pattern, text, re.MULTILINE)]


def _answer(kind: str, name: str) -> str:
    arns = {"arn": f"arn:aws:{kind.split('_')[1]}:{REGION}:{ACCOUNT}:{kind}/{name}"}
    if kind == "aws_api_gateway_rest_api":
        arns["execution_arn"] = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{name}"
    return ", ".join(f'{attribute} = "{value}"' for attribute, value in arns.items())
