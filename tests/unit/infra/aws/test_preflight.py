"""Checks of an account before a deployment: missing things are reported with a remedy."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from adapters.aws.account import Account
from cardwatch.errors import Misconfigured
from infra.aws.deploy.preflight import CheckResult, Preflight
from infra.aws.environments import Environment, LocalFiles
from infra.aws.hcl import read_assignments

ACCOUNT, REGION, TAG = "123456789012", "eu-central-1", "abc123"


class Lambda:
    """Stands in for a call that moto lacks."""

    def __init__(self, free: int) -> None:
        self.free = free

    def get_account_settings(self) -> dict[str, Any]:
        return {"AccountLimit": {"UnreservedConcurrentExecutions": self.free}}


class Quotas:
    """Stands in for a call that moto lacks."""

    def __init__(self, **by_name: float) -> None:
        self.by_name = by_name

    def get_paginator(self, _call: str) -> Quotas:
        return self

    def paginate(self, ServiceCode: str) -> list[dict[str, Any]]:  # noqa: N803 (boto3's)
        assert ServiceCode == "sagemaker"
        return [{"Quotas": [{"QuotaName": name, "Value": value}]} for name, value in self.by_name.items()]


@pytest.fixture
def moto() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # what moto imports has some
        from moto import mock_aws  # noqa: PLC0415

        with mock_aws():
            yield


@pytest.fixture
def sandbox(moto: None) -> Environment:
    return Environment("sandbox")


ENOUGH = {
    "ml.c5.large for endpoint usage": 2.0,
    "ml.m5.large for processing job usage": 2.0,
    "ml.m5.xlarge for training job usage": 1.0,
}


def account(**others: Any) -> Account:
    enough = {"lambda": Lambda(1000), "service-quotas": Quotas(**ENOUGH)}
    return Account(REGION, clients={**enough, **others})


def preflight(
    environment: Environment, account: Account, terraform_version: Callable[[], str] = lambda: "1.11.4"
) -> Preflight:
    return Preflight(environment, account, terraform_version, TAG)


def by_name(results: Iterator[CheckResult]) -> dict[str, CheckResult]:
    return {result.name: result for result in results}


def push(repository: str, tag: str) -> None:
    ecr = boto3.client("ecr", region_name=REGION)
    ecr.create_repository(repositoryName=repository)
    media_type = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = {"schemaVersion": 2, "mediaType": media_type, "config": {"digest": f"sha256:{tag:0<64}"}, "layers": []}
    ecr.put_image(repositoryName=repository, imageManifest=json.dumps(manifest), imageTag=tag)


def bucket(name: str, *keys: str) -> None:
    s3 = boto3.client("s3", region_name=REGION)
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    for key in keys:
        s3.put_object(Bucket=name, Key=key, Body=b"x")


def test_an_empty_account_lacks_bucket_images_and_model_and_each_has_a_remedy(sandbox: Environment) -> None:
    found = by_name(preflight(sandbox, account()).results())
    assert {name for name, result in found.items() if result.ok} == {
        "terraform",
        "credentials",
        *(f"quota: {name}" for name in ENOUGH),
        "quota: Kinesis shards",
        "quota: Lambda concurrency",
    }
    assert found["state bucket"].found == f"cardwatch-sandbox-state-{ACCOUNT}"
    assert found["image scoring"].found == f"cardwatch-sandbox-scoring:{TAG}"
    assert found["image scoring"].remedy == "build and push it, see docs/aws.md"
    assert found["model"].remedy == "cardwatch aws model sandbox uploads it"


def test_nothing_is_missing_in_an_account_that_is_ready(sandbox: Environment) -> None:
    bucket(f"cardwatch-sandbox-state-{ACCOUNT}")
    bucket(f"cardwatch-sandbox-releases-{ACCOUNT}", "models/first/model.tar.gz")
    for part in ("lambda", "scoring", "archive", "monitor", "pipelines"):
        push(f"cardwatch-sandbox-{part}", TAG)
    assert [result for result in preflight(sandbox, account()).results() if not result.ok] == []


def test_an_image_under_another_tag_is_missing(sandbox: Environment) -> None:
    push("cardwatch-sandbox-lambda", "older")
    assert not by_name(preflight(sandbox, account()).images())["image lambda"].ok


def test_without_credentials_no_further_check_is_run(sandbox: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoCredentials:
        def get_caller_identity(self) -> None:
            raise exceptions.NoCredentialsError

    from botocore import exceptions  # noqa: PLC0415 (beside its only use)

    found = by_name(preflight(sandbox, account(sts=NoCredentials())).results())
    assert list(found) == ["terraform", "credentials"]
    assert "aws sso login" in found["credentials"].remedy


def test_terraform_must_be_installed(sandbox: Environment) -> None:
    def missing() -> str:
        raise Misconfigured("terraform is not installed: do this")

    found = by_name(preflight(sandbox, account(), missing).results())["terraform"]
    assert (found.ok, found.remedy) == (False, "terraform is not installed: do this")


def test_a_quota_that_is_too_small_names_how_much_is_needed(sandbox: Environment) -> None:
    """An update of the endpoint starts its new instance before it stops the old one, so one instance needs two."""
    small = account(**{"lambda": Lambda(2), "service-quotas": Quotas(**{"ml.c5.large for endpoint usage": 1.0})})
    found = by_name(preflight(sandbox, small).results())
    assert found["quota: ml.c5.large for endpoint usage"].remedy.startswith("2 are needed")
    assert found["quota: ml.m5.xlarge for training job usage"].found == "0", "a new account has none"
    assert found["quota: Lambda concurrency"].remedy.startswith("3 are needed"), "a shard, and two other functions"


def test_reserved_concurrency_leaves_a_hundred_to_the_other_functions(moto: None, tmp_path: Path) -> None:
    folder = tmp_path / "reserved"
    folder.mkdir()
    given = Environment("sandbox").tfvars.read_text(encoding="utf-8")
    (folder / "terraform.tfvars").write_text(f"{given}stream_reserved_concurrency = 5\n", encoding="utf-8")
    found = by_name(preflight(Environment("reserved", folder=tmp_path), account(**{"lambda": Lambda(104)})).results())
    assert found["quota: Lambda concurrency"].remedy.startswith("105 are needed")


def test_a_refused_call_is_a_failed_check_and_the_others_are_run(sandbox: Environment) -> None:
    class Refusing:
        def get_paginator(self, _call: str) -> None:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "ListServiceQuotas")

    from botocore.exceptions import ClientError  # noqa: PLC0415 (beside its only use)

    found = by_name(preflight(sandbox, account(**{"service-quotas": Refusing()})).results())
    assert found["quota: ml.c5.large for endpoint usage"].found == "not known"
    assert "AccessDenied" in found["quota: ml.c5.large for endpoint usage"].remedy
    assert "model" in found


def test_terraforms_variables_are_those_of_the_environment_and_of_the_account(
    sandbox: Environment, tmp_path: Path
) -> None:
    files = LocalFiles(sandbox, tmp_path)
    with pytest.raises(Misconfigured, match="--image-tag is not given"):
        files.image_tag(None)
    assert files.image_tag(TAG) == TAG

    variables = read_assignments(files.variables(ACCOUNT, TAG))
    assert variables.text("environment") == "sandbox"
    assert variables.text("image_tag") == TAG
    assert variables.text("champion_model_data_url") == (
        f"s3://cardwatch-sandbox-releases-{ACCOUNT}/models/first/model.tar.gz"
    )
    assert files.image_tag(None) == TAG, "the tag of the last deployment"

    bootstrap = read_assignments(files.bootstrap_variables())
    assert (bootstrap.text("name"), bootstrap.text("environment")) == ("cardwatch", "sandbox")
    assert read_assignments(files.bootstrap_backend()).text("path").startswith(str(tmp_path))


def test_variables_that_an_environment_sets_are_not_added(tmp_path: Path) -> None:
    files = LocalFiles(Environment("moto"), tmp_path)
    assert files.image_tag(None) == "local"
    text = files.variables(ACCOUNT, "local").read_text(encoding="utf-8")
    assert text.count("champion_model_data_url =") == 1
    assert text.count("image_tag ") == 1
