"""Terraform as the commands run it: a small root with the real provider against the local AWS."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from adapters.runtime.settings import Settings, read_settings
from cardwatch.errors import CardwatchError, Misconfigured
from infra.aws.deploy.executions import StateMachine
from infra.aws.deploy.terraform import Terraform
from infra.moto.server import CREDENTIALS, REGION

Client = Callable[[str], Any]

ROOT = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws", version = "5.100.0" }
  }
}

variable "name" { type = string }
variable "handlers" { type = string }

provider "aws" { region = "REGION" }

resource "aws_iam_role" "any" {
  name = var.name
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = ["lambda.amazonaws.com", "states.amazonaws.com"] }
    }]
  })
}

resource "aws_lambda_function" "double" {
  function_name = var.name
  role          = aws_iam_role.any.arn
  package_type  = "Image"
  image_uri     = "123456789012.dkr.ecr.REGION.amazonaws.com/cardwatch-lambda:1"

  image_config { command = ["doubling_handler.handle"] }
  environment { variables = { PYTHONPATH = var.handlers } }
}

resource "aws_sfn_state_machine" "twice" {
  name     = var.name
  role_arn = aws_iam_role.any.arn
  definition = jsonencode({
    StartAt = "Double"
    States = {
      for name, next in { Double = { Next = "Again" }, Again = { End = true } } : name => merge(next, {
        Type       = "Task"
        Resource   = "arn:aws:states:::lambda:invoke"
        Parameters = { FunctionName = aws_lambda_function.double.arn, "Payload.$" = "$" }
        OutputPath = "$.Payload"
      })
    }
  })
}

output "machine" { value = aws_sfn_state_machine.twice.arn }
""".replace("REGION", REGION)


@pytest.fixture
def settings(terraform_program: str, tmp_path: Path) -> Settings:
    """This machine's settings with a temporary home, if Terraform and its provider are available."""
    return structs.replace(read_settings(), home=tmp_path / "home")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "main.tf").write_text(ROOT)
    (folder / "doubling_handler.py").write_text("def handle(event, context): return {'n': 2 * event['n']}")
    (folder / "small.tfvars").write_text(f'name = "small"\nhandlers = "{folder}"\n')
    return folder


@pytest.mark.proves("ours", "a small root is applied by the real provider, planned empty, used and destroyed")
def test_a_root_is_applied_planned_empty_used_and_destroyed(
    settings: Settings, root: Path, local_aws: str, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": local_aws}.items():
        monkeypatch.setenv(name, value)
    lines: list[str] = []
    terraform = Terraform(
        settings, root, aws={**CREDENTIALS, "AWS_ENDPOINT_URL": local_aws}, report=lines.append, name="small"
    )
    terraform.init()
    terraform.apply(root / "small.tfvars")
    assert terraform.plan(root / "small.tfvars") is False
    states = client("stepfunctions")
    arn = terraform.outputs()["machine"]
    StateMachine(arn, lines.append, region=REGION).run("once", {"n": 5}, timeout_seconds=30)
    [execution] = states.list_executions(stateMachineArn=arn)["executions"]
    found = states.describe_execution(executionArn=execution["executionArn"])
    assert json.loads(found["output"]) == {"n": 20}
    assert lines[-2:] == ["Double", "Again"]
    assert any("Creation complete" in line for line in lines)
    terraform.destroy(root / "small.tfvars")
    assert not any(each["FunctionName"] == "small" for each in client("lambda").list_functions()["Functions"])


def test_a_failure_of_terraform_is_an_error_with_the_end_of_its_output(settings: Settings, root: Path) -> None:
    (root / "main.tf").write_text('resource "nothing" {')
    with pytest.raises(CardwatchError, match=r"terraform init in .* failed"):
        Terraform(settings, root, aws={}).init()


def test_without_terraform_the_message_has_a_link(
    settings: Settings, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(root))
    with pytest.raises(Misconfigured, match=r"not installed.*https://developer\.hashicorp\.com/terraform/install"):
        Terraform(settings, root).version()


def test_a_missing_folder_of_providers_is_named(settings: Settings, root: Path) -> None:
    settings = structs.replace(settings, tf_plugins=root / "nowhere")
    with pytest.raises(Misconfigured, match=r"CARDWATCH_TF_PLUGINS=.*nowhere"):
        Terraform(settings, root).init()
