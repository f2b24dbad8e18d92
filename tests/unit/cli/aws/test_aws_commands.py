"""`cardwatch aws`: traffic into moto's Kinesis and S3, the bill, deployments, and error messages."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import boto3
import pytest
from click.testing import CliRunner, Result

from adapters.aws.account import Account
from adapters.aws.kinesis import KinesisReader
from adapters.aws.sagemaker_registry import SageMakerRegistry
from adapters.model_registry.model_folder import pack_model, unpack_model
from cardwatch.events import Action, Decision, Label, Transaction, decode, encode
from cardwatch.registry import ModelVersion, digest_of
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cli.main import main
from infra.aws.hcl import Variables

ACCOUNT, REGION = "123456789012", "eu-central-1"
BUCKET = f"cardwatch-sandbox-data-{ACCOUNT}"
QUOTAS = {
    "ml.c5.large for endpoint usage": 2.0,
    "ml.m5.large for processing job usage": 2.0,
    "ml.m5.xlarge for training job usage": 1.0,
}


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CARDWATCH_HOME", str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # what moto imports has some
        from moto import mock_aws  # noqa: PLC0415

        with mock_aws():
            yield


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["aws", *arguments])


def stream() -> Any:
    client = boto3.client("kinesis", region_name=REGION)
    client.create_stream(StreamName="cardwatch-sandbox-transactions", ShardCount=2)
    return client


def bucket() -> Any:
    client = boto3.client("s3", region_name=REGION)
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    return client


def records(client: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for shard in client.list_shards(StreamName="cardwatch-sandbox-transactions")["Shards"]:
        begin = client.get_shard_iterator(
            StreamName="cardwatch-sandbox-transactions", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )
        found += client.get_records(ShardIterator=begin["ShardIterator"])["Records"]
    return found


def test_send_writes_the_simulated_days_to_stream_and_bucket_and_prints_totals(aws: None) -> None:
    kinesis, s3 = stream(), bucket()
    result = run("send", "sandbox", "--rate", "100000", "--cards", "50", "--from-day", "20", "--days", "2")
    assert result.exit_code == 0, result.output

    world = Simulation(SimulationSettings(seed=7, cards=50))
    days = [world.day(number) for number in range(22)][20:]
    sent = records(kinesis)
    transactions = [decode(record["Data"], Transaction) for record in sent]
    assert {each.transaction_id for each in transactions} == {
        each.transaction_id for day in days for each in day.transactions
    }
    assert [record["PartitionKey"] for record in sent] == [each.card_id for each in transactions]
    for day in days:
        body = s3.get_object(Bucket=BUCKET, Key=f"labels/{day.day}.jsonl")["Body"].read()
        assert [decode(line, Label) for line in body.splitlines()] == day.labels
    labels = sum(len(day.labels) for day in days)
    assert f"{len(sent)} transactions in" in result.output
    assert f"{labels} labels into s3://{BUCKET}/labels/" in result.output
    assert "To continue: --from-day 22" in result.output


def test_send_reports_a_missing_stream_and_its_progress(aws: None) -> None:
    result = run("send", "sandbox", "--rate", "100000", "--cards", "50")
    assert result.exit_code == 2
    assert "Kinesis stream cardwatch-sandbox-transactions refuses a call" in result.output
    assert "0 transactions in" in result.output
    assert "Traceback" not in result.output


def test_send_stops_at_labels_that_cannot_be_delivered(aws: None) -> None:
    stream()
    result = run("send", "sandbox", "--rate", "100000", "--cards", "50")
    assert result.exit_code == 2
    assert f"S3 bucket {BUCKET} refuses a call" in result.output
    assert "To continue: --from-day 0" in result.output


def test_the_bill_is_printed_with_its_sum_and_its_date(aws: None) -> None:
    result = run("cost", "sandbox", "--rate", "10")
    assert result.exit_code == 0, result.output
    amounts = [float(line.split()[0].replace(",", "")) for line in result.output.splitlines()]
    assert amounts[-1] == pytest.approx(sum(amounts[:-1]), abs=0.1)
    assert "list prices of 2026-11" in result.output.splitlines()[-1]


def test_the_check_ends_with_status_1_and_a_line_for_each_thing_missing(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # moto does not answer these two.
    monkeypatch.setattr(Account, "sagemaker_quotas", lambda _account: QUOTAS)
    monkeypatch.setattr(Account, "unreserved_concurrency", lambda _account: 1000)
    result = run("check", "sandbox", "--image-tag", "abc")
    assert result.exit_code == 1
    assert "missing  image lambda: cardwatch-sandbox-lambda:abc" in result.output
    assert "missing  state bucket" in result.output
    assert "ok       credentials: " in result.output


def test_a_tag_is_required_before_any_call_of_aws(aws: None) -> None:
    result = run("check", "sandbox")
    assert result.exit_code == 2
    assert "--image-tag is not given" in result.output


def test_the_first_model_needs_a_registry(aws: None) -> None:
    result = run("model", "sandbox")
    assert result.exit_code == 2
    assert "CARDWATCH_MLFLOW_URL is empty" in result.output


def test_an_unknown_environment_is_refused(aws: None) -> None:
    for command in ("check", "plan", "deploy", "destroy", "send", "smoke", "cost", "model"):
        result = run(command, "moon")
        assert (result.exit_code, "there is no environment 'moon'" in result.output) == (2, True), command


def test_every_command_is_listed(aws: None) -> None:
    result = run("--help")
    for command in ("check", "cost", "plan", "deploy", "model", "smoke", "send", "destroy", "local", "document"):
        assert f"\n  {command} " in result.output


def test_the_outputs_that_smoke_reads_exist() -> None:
    outputs = (Path(__file__).parents[4] / "infra" / "terraform" / "outputs.tf").read_text(encoding="utf-8")
    for name in ("api_url", "api_key_id"):
        assert f"output {json.dumps(name)} {{" in outputs


GROUP = "cardwatch-sandbox"


def put_model() -> None:
    """Upload a model as `cardwatch aws model` does."""
    files = {"trees.bin": b"trees"}
    tags = {"digest": digest_of(files), "verdict": "promoted"}
    boto3.client("s3", region_name=REGION).put_object(
        Bucket=f"cardwatch-sandbox-releases-{ACCOUNT}",
        Key="models/first/model.tar.gz",
        Body=pack_model(ModelVersion(version="1", run_id="", tags=tags), files),
    )


class FakeTerraform:
    """Records the calls with their root."""

    calls: ClassVar[list[str]] = []
    changes = True

    def __init__(self, _settings: object, folder: Path, **_options: object) -> None:
        self._root = folder.name

    def version(self) -> str:
        return "1.11.4"

    def init(self, backend: Path) -> None:
        self.calls.append(f"{self._root}: init {backend.name}")

    def plan(self, variables: Path) -> bool:
        self.calls.append(f"{self._root}: plan {variables.name}")
        return self.changes

    def apply(self, variables: Path) -> None:
        self.calls.append(f"{self._root}: apply {variables.name}")
        if self._root == "terraform":
            boto3.client("sagemaker", region_name=REGION).create_model_package_group(ModelPackageGroupName=GROUP)
        else:
            s3 = boto3.client("s3", region_name=REGION)
            for kind in ("state", "releases", "data"):
                s3.create_bucket(
                    Bucket=f"cardwatch-sandbox-{kind}-{ACCOUNT}",
                    CreateBucketConfiguration={"LocationConstraint": REGION},
                )

    def outputs(self) -> dict[str, object]:
        if f"{self._root}: apply sandbox.tfvars" not in self.calls and self.changes:
            return {}
        data = f"cardwatch-sandbox-data-{ACCOUNT}"
        return {"model_package_group": GROUP, "data_bucket": data, "scoring_image": "1.dkr.ecr.example/scoring:abc"}

    def destroy(self, variables: Path) -> None:
        self.calls.append(f"{self._root}: destroy {variables.name}")


@pytest.fixture
def terraform(aws: None, monkeypatch: pytest.MonkeyPatch) -> type[FakeTerraform]:
    monkeypatch.setattr(FakeTerraform, "calls", [])
    for module in ("cli.aws.account", "cli.aws.traffic"):
        monkeypatch.setattr(f"{module}.Terraform", FakeTerraform)
    note = FakeTerraform.calls.append
    monkeypatch.setattr("cli.aws.account.delete_model_packages", lambda group, region: note(f"packages of {group}"))
    monkeypatch.setattr("cli.aws.account.delete_models", lambda prefix, region: note(f"models of {prefix}"))
    monkeypatch.setattr("cli.aws.account.smoke_test", lambda *_: FakeTerraform.calls.append("smoke"))
    monkeypatch.setattr(Account, "sagemaker_quotas", lambda _account: QUOTAS)
    monkeypatch.setattr(Account, "unreserved_concurrency", lambda _account: 1000)
    monkeypatch.setattr(Account, "has_image", lambda *_: True)
    return FakeTerraform


BOOTSTRAPPED = ["bootstrap: init sandbox.bootstrap.backend.hcl", "bootstrap: apply sandbox.bootstrap.tfvars"]
PLANNED = ["terraform: init sandbox.backend.hcl", "terraform: plan sandbox.tfvars"]


def test_a_first_deployment_creates_the_buckets_and_requires_the_model(terraform: type[FakeTerraform]) -> None:
    result = run("deploy", "sandbox", "--image-tag", "abc", "--yes")
    assert result.exit_code == 2
    assert terraform.calls == BOOTSTRAPPED
    assert "cardwatch aws model sandbox uploads it" in result.output


def test_with_a_model_it_plans_prints_the_cost_applies_and_runs_the_smoke_test(terraform: type[FakeTerraform]) -> None:
    run("deploy", "sandbox", "--image-tag", "abc", "--yes")
    put_model()
    result = run("deploy", "sandbox", "--yes")  # the last tag is known only after a plan
    assert "--image-tag is not given" in result.output

    result = run("deploy", "sandbox", "--image-tag", "abc", "--yes")
    assert result.exit_code == 0, result.output
    assert terraform.calls == [*BOOTSTRAPPED, *PLANNED, "terraform: apply sandbox.tfvars", "smoke"]
    assert "$ per month at 0 transactions per second" in result.output
    assert "the first champion is registered as version 1" in result.output
    assert SageMakerRegistry(GROUP, client=boto3.client("sagemaker", region_name=REGION)).champion().version == "1"

    terraform.calls.clear()
    terraform.changes = False
    try:
        assert run("deploy", "sandbox").exit_code == 0
    finally:
        terraform.changes = True
    assert terraform.calls == [*PLANNED, "smoke"]

    terraform.calls.clear()
    terraform.calls.append("terraform: apply sandbox.tfvars")
    assert run("destroy", "sandbox", "--yes").exit_code == 0
    removed = [f"packages of {GROUP}", "terraform: destroy sandbox.tfvars", "models of cardwatch-sandbox"]
    assert terraform.calls[-3:] == removed  # the only order in which everything can be removed


def test_nothing_is_applied_without_confirmation(terraform: type[FakeTerraform]) -> None:
    run("deploy", "sandbox", "--image-tag", "abc", "--yes")
    put_model()
    terraform.calls.clear()
    result = CliRunner().invoke(main, ["aws", "deploy", "sandbox", "--image-tag", "abc"], input="n\n")
    assert result.exit_code == 1
    assert terraform.calls == PLANNED


def test_nothing_is_created_while_a_quota_is_too_small(
    terraform: type[FakeTerraform], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Account, "unreserved_concurrency", lambda _account: 1)
    result = run("deploy", "sandbox", "--image-tag", "abc", "--yes")
    assert result.exit_code == 2
    assert terraform.calls == []


def test_a_plan_changes_nothing_and_says_whether_there_are_changes(terraform: type[FakeTerraform]) -> None:
    result = run("plan", "sandbox", "--image-tag", "abc")
    assert "there are changes" in result.output
    assert terraform.calls == PLANNED


def test_an_environment_is_destroyed_only_after_confirmation(terraform: type[FakeTerraform]) -> None:
    refused = CliRunner().invoke(main, ["aws", "destroy", "sandbox", "--image-tag", "abc"], input="n\n")
    assert (refused.exit_code, terraform.calls) == (1, [])
    assert run("destroy", "sandbox", "--image-tag", "abc", "--yes").exit_code == 0
    assert terraform.calls == [PLANNED[0], "terraform: destroy sandbox.tfvars", "models of cardwatch-sandbox"]


def decided(transaction: Transaction) -> bytes:
    return encode(
        Decision(
            transaction=transaction,
            partition=0,
            offset=0,
            sequence=0,
            features=[],
            feature_schema="s",
            table_id="t",
            policy_version="p",
            action=Action.APPROVE,
            reasons=[],
            degraded=transaction.transaction_id.endswith("-0"),
            decided_at=transaction.occurred_at,
            latency_ms=1.0,
        )
    )


def test_smoke_sends_ten_waits_for_their_decisions_and_calls_the_api_once(
    terraform: type[FakeTerraform], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fake stream function decides all transactions in the stream."""
    kinesis = stream()
    kinesis.create_stream(StreamName="cardwatch-sandbox-decisions", ShardCount=1)
    requests: list[tuple[str, Transaction, str, str]] = []

    def poll(_reader: KinesisReader) -> list[bytes]:
        return [decided(decode(record["Data"], Transaction)) for record in records(kinesis)]

    def ask(url: str, body: bytes, *, region: str, key: str) -> bytes:
        requests.append((url, decode(body, Transaction), region, key))
        return b'{"action": "challenge", "sequence": 1}'

    outputs = {"api_url": "https://api/live/v1/score", "api_key_id": "abc"}
    monkeypatch.setattr(FakeTerraform, "outputs", lambda _terraform: outputs, raising=False)
    monkeypatch.setattr(KinesisReader, "poll", poll)
    monkeypatch.setattr("cli.aws.traffic.api_key", lambda key_id, _region: f"value of {key_id}")
    monkeypatch.setattr("cli.aws.traffic.post_signed", ask)
    result = run("smoke", "sandbox")
    assert result.exit_code == 0, result.output
    assert "10 decisions after" in result.output
    assert "1 degraded" in result.output
    assert "POST /v1/score: challenge after" in result.output
    assert "with 1 earlier transactions" in result.output
    [(url, transaction, region, key)] = requests
    assert (url, region, key) == ("https://api/live/v1/score", REGION, "value of abc")
    sent = [decode(record["Data"], Transaction) for record in records(kinesis)]
    assert transaction.transaction_id not in {each.transaction_id for each in sent}
    assert transaction.card_id in {each.card_id for each in sent}


def test_an_environment_on_msk_is_not_reachable(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Variables, "text", lambda _variables, name: "msk" if name == "ingress" else "x")
    for command in ("send", "smoke"):
        result = run(command, "sandbox")
        assert (result.exit_code, "receives transactions through MSK" in result.output) == (2, True)


class Registry:
    """A registry with one champion."""

    files_of = MappingProxyType({"model.json": b"{}"})

    def __init__(self, url: str) -> None:
        assert url == "http://registry"

    def champion(self) -> ModelVersion:
        return ModelVersion(version="3", run_id="run", tags={"digest": digest_of(self.files_of)})

    def files(self, version: ModelVersion) -> dict[str, bytes]:
        assert version.version == "3"
        return dict(self.files_of)

    def close(self) -> None: ...


def test_the_first_model_is_the_champion_of_the_registry(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARDWATCH_MLFLOW_URL", "http://registry")
    monkeypatch.setattr(import_module("cli.aws.model"), "MlflowRegistry", Registry)
    s3 = boto3.client("s3", region_name=REGION)
    releases = f"cardwatch-sandbox-releases-{ACCOUNT}"
    s3.create_bucket(Bucket=releases, CreateBucketConfiguration={"LocationConstraint": REGION})
    result = run("model", "sandbox")
    assert result.exit_code == 0, result.output
    assert f"is uploaded to s3://{releases}/models/first/model.tar.gz" in result.output
    stored = s3.get_object(Bucket=releases, Key="models/first/model.tar.gz")["Body"].read()
    version, files = unpack_model(stored)
    assert (version.version, files) == ("1", dict(Registry.files_of))


def test_document_writes_both_pages(aws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.aws.documents.PAGE", tmp_path / "costs.md")
    monkeypatch.setattr("cli.aws.documents.PROOFS_PAGE", tmp_path / "aws.md")
    assert run("document").exit_code == 0
    assert "<!-- generated: capacity -->" in (tmp_path / "costs.md").read_text(encoding="utf-8")
    assert "<!-- generated: proofs -->" in (tmp_path / "aws.md").read_text(encoding="utf-8")
