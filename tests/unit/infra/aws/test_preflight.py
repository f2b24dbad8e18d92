"""What is asked of an account before a deployment: what is there is ok, and what is missing comes with what to do."""

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
from infra.aws.deploy.environments import Environment, LocalFiles
from infra.aws.deploy.hcl import read_assignments
from infra.aws.deploy.preflight import CheckResult, Preflight

ACCOUNT, REGION, TAG = "123456789012", "eu-central-1", "abc123"


class Lambda:
    """Answers what moto does not."""

    def __init__(self, free: int) -> None:
        self.free = free

    def get_account_settings(self) -> dict[str, Any]:
        return {"AccountLimit": {"UnreservedConcurrentExecutions": self.free}}


class Quotas:
    """Answers what moto does not."""

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


def by_name(findings: Iterator[CheckResult]) -> dict[str, CheckResult]:
    return {finding.what: finding for finding in findings}


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


def test_an_empty_account_lacks_bucket_images_and_model_and_is_told_what_to_do(sandbox: Environment) -> None:
    found = by_name(preflight(sandbox, account()).findings())
    assert {name for name, finding in found.items() if finding.ok} == {
        "terraform",
        "credentials",
        *(f"quota: {name}" for name in ENOUGH),
        "quota: Kinesis shards",
        "quota: Lambda concurrency",
    }
    assert found["state bucket"].says == f"cardwatch-sandbox-state-{ACCOUNT}"
    assert found["image scoring"].says == f"cardwatch-sandbox-scoring:{TAG}"
    assert found["image scoring"].todo == "build it and push it there, see docs/aws.md"
    assert found["model"].todo == "cardwatch aws model sandbox puts it there"


def test_nothing_is_missing_in_an_account_that_is_ready(sandbox: Environment) -> None:
    bucket(f"cardwatch-sandbox-state-{ACCOUNT}")
    bucket(f"cardwatch-sandbox-releases-{ACCOUNT}", "models/first/model.tar.gz")
    for part in ("lambda", "scoring", "archive", "monitor", "pipelines"):
        push(f"cardwatch-sandbox-{part}", TAG)
    assert [finding for finding in preflight(sandbox, account()).findings() if not finding.ok] == []


def test_an_image_under_another_tag_is_missing(sandbox: Environment) -> None:
    push("cardwatch-sandbox-lambda", "older")
    assert not by_name(preflight(sandbox, account()).images())["image lambda"].ok


def test_without_credentials_nothing_else_is_asked(sandbox: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nobody:
        def get_caller_identity(self) -> None:
            raise exceptions.NoCredentialsError

    from botocore import exceptions  # noqa: PLC0415 (beside its only use)

    found = by_name(preflight(sandbox, account(sts=Nobody())).findings())
    assert list(found) == ["terraform", "credentials"]
    assert "aws sso login" in found["credentials"].todo


def test_terraform_must_be_there(sandbox: Environment) -> None:
    def missing() -> str:
        raise Misconfigured("terraform is not installed: do this")

    found = by_name(preflight(sandbox, account(), missing).findings())["terraform"]
    assert (found.ok, found.todo) == (False, "terraform is not installed: do this")


def test_a_quota_that_is_too_small_names_how_much_is_needed(sandbox: Environment) -> None:
    """An update of the endpoint starts its new instance before the old one ends, so one instance takes two."""
    small = account(**{"lambda": Lambda(2), "service-quotas": Quotas(**{"ml.c5.large for endpoint usage": 1.0})})
    found = by_name(preflight(sandbox, small).findings())
    assert found["quota: ml.c5.large for endpoint usage"].todo.startswith("2 are needed")
    assert found["quota: ml.m5.xlarge for training job usage"].says == "0", "a new account has none"
    assert found["quota: Lambda concurrency"].todo.startswith("3 are needed"), "a shard, and two other functions"


def test_concurrency_that_is_reserved_leaves_a_hundred_to_the_others(moto: None, tmp_path: Path) -> None:
    folder = tmp_path / "keen"
    folder.mkdir()
    given = Environment("sandbox").tfvars.read_text(encoding="utf-8")
    (folder / "terraform.tfvars").write_text(f"{given}stream_reserved_concurrency = 5\n", encoding="utf-8")
    found = by_name(preflight(Environment("keen", folder=tmp_path), account(**{"lambda": Lambda(104)})).findings())
    assert found["quota: Lambda concurrency"].todo.startswith("105 are needed")


def test_a_question_that_is_refused_is_a_finding_and_no_end(sandbox: Environment) -> None:
    class Refusing:
        def get_paginator(self, _call: str) -> None:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "ListServiceQuotas")

    from botocore.exceptions import ClientError  # noqa: PLC0415 (beside its only use)

    found = by_name(preflight(sandbox, account(**{"service-quotas": Refusing()})).findings())
    assert found["quota: ml.c5.large for endpoint usage"].says == "not known"
    assert "AccessDenied" in found["quota: ml.c5.large for endpoint usage"].todo
    assert "model" in found


def test_what_terraform_is_told_is_the_environment_and_what_the_account_adds(
    sandbox: Environment, tmp_path: Path
) -> None:
    files = LocalFiles(sandbox, tmp_path)
    with pytest.raises(Misconfigured, match="--image-tag is not given"):
        files.image_tag(None)
    assert files.image_tag(TAG) == TAG

    told = read_assignments(files.variables(ACCOUNT, TAG))
    assert told.text("environment") == "sandbox"
    assert told.text("image_tag") == TAG
    assert told.text("champion_model_data_url") == (
        f"s3://cardwatch-sandbox-releases-{ACCOUNT}/models/first/model.tar.gz"
    )
    assert files.image_tag(None) == TAG, "the tag of last time"

    bootstrap = read_assignments(files.bootstrap_variables())
    assert (bootstrap.text("name"), bootstrap.text("environment")) == ("cardwatch", "sandbox")
    assert read_assignments(files.bootstrap_backend()).text("path").startswith(str(tmp_path))


def test_what_an_environment_says_itself_is_not_added(tmp_path: Path) -> None:
    files = LocalFiles(Environment("moto"), tmp_path)
    assert files.image_tag(None) == "local"
    text = files.variables(ACCOUNT, "local").read_text(encoding="utf-8")
    assert text.count("champion_model_data_url =") == 1
    assert text.count("image_tag ") == 1
