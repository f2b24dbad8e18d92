"""The retraining jobs on AWS, compared with the steps of the Prefect flows on the same archive."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import boto3
import msgspec
import pytest
from msgspec import structs

from adapters.archive.reference_tables import ReferenceTableStore
from adapters.aws.object_keys import parse_object_url
from adapters.aws.s3_progress import ProgressPart, S3ProgressLog
from adapters.aws.sagemaker_endpoint import Endpoint
from adapters.aws.sagemaker_registry import Registration, SageMakerRegistry
from adapters.model_registry.model_folder import pack_model, unpack_model
from adapters.model_registry.verdict_bundle import check_bundle
from adapters.runtime.policy_file import Policies
from cardwatch.detector.detector import Detector
from cardwatch.errors import (
    CorruptModel,
    Misconfigured,
    NoChampion,
    ObjectMissing,
)
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.label_maturity import end_of_day
from cardwatch.progress import (
    Bootstrapped,
    RetrainingEnded,
)
from cardwatch.registry import digest_of
from pipelines.sagemaker import handler
from pipelines.sagemaker.execution import ExecutionArtifacts
from pipelines.sagemaker.jobs import assemble, bootstrap, fit, judge
from pipelines.steps.assembled_inputs import describe_inputs
from pipelines.steps.comparison import ScoredCandidate, compare_champion_challenger
from pipelines.steps.contract_learning import learn_data_contract
from pipelines.steps.fitting import fit_candidate, recent_rows
from pipelines.steps.refit import RefitRows, refit_promoted
from pipelines.steps.training_set import assemble_training_set, replay_log
from tests.integration.aws_jobs.bank import (
    AS_JUDGED,
    GROUP,
    IMAGE,
    LAST_DAY,
    LAST_OF_HISTORY,
    NO_CHALLENGER_WINS,
    NUMBERS,
    POLICIES,
    Bank,
    Killed,
    KillingBucket,
    Stand,
    fetched,
    new_bucket,
)


def test_the_first_champion_is_registered_with_its_files_and_served_by_its_number(stand: Stand) -> None:
    first, registry = stand.first, SageMakerRegistry(GROUP)
    champion = registry.champion()
    assert champion == first.version == registry.version("1")
    assert champion.tags["verdict"] == "promoted"
    assert champion.schema_hash == SCHEMA_HASH
    assert champion.tags["trained_until"] == str(LAST_OF_HISTORY - timedelta(days=3))
    assert msgspec.json.decode(champion.tags["verdict_reasons"])[0].startswith("judged on days")
    stored, files = unpack_model(stand.bank.bucket.get(parse_object_url(first.model_url)[1]))
    assert stored.version == "1"
    assert registry.files(champion) == files
    assert Detector.from_files(files).facts.schema_hash == SCHEMA_HASH
    [told] = S3ProgressLog(stand.bank.bucket).of_day(LAST_OF_HISTORY, ProgressPart.RETRAINING)
    assert told == Bootstrapped(
        day=LAST_OF_HISTORY,
        champion_version="1",
        average_precision=float(champion.tags["average_precision"]),
    )


def test_bootstrapping_again_finds_the_champion_that_is_there(stand: Stand) -> None:
    assert bootstrap(stand.bank.run("first"), None, image=IMAGE, holdout_days=3) == stand.first


def train(bank: Bank, execution: str, policies: Policies = POLICIES) -> str:
    """Run the steps of the state machine up to the verdict, and return the URL of the model."""
    assemble(bank.run(execution, policies), LAST_DAY)
    folder = bank.new_folder()
    fit(bank.run(execution, policies), folder)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(folder, ".")
    key = f"models/{execution}/job-1/output/model.tar.gz"
    bank.bucket.put(key, packed.getvalue())
    judge(bank.run(execution, policies))
    return f"s3://{bank.bucket.name}/{key}"


def invoke(stand: Stand, patch: pytest.MonkeyPatch, **event: Any) -> dict[str, Any]:
    """Invoke the function `model` as the state machine does."""
    patch.setattr(handler, "set_up_logging", lambda *_: None)
    patch.setenv("CARDWATCH_DATA_BUCKET", stand.bank.bucket.name)
    patch.setenv("CARDWATCH_MODEL_PACKAGE_GROUP", GROUP)
    patch.setenv("CARDWATCH_ENDPOINT", "scoring")
    return handler.handle(event)


@pytest.mark.proves("moto", "the jobs make the model that the Prefect flow makes")
def test_the_jobs_train_the_model_that_the_steps_of_the_flow_train(stand: Stand) -> None:
    bank = stand.bank
    url = train(bank, "same-model")
    version, files = unpack_model(bank.bucket.get(parse_object_url(url)[1]))

    archive = fetched(bank)
    bank.bucket.fetch_folder("tables/", bank.folder / "tables")
    log = replay_log(archive, ReferenceTableStore(bank.folder / "tables").all())
    split = log.split(LAST_DAY, maturity_days=1, evaluation_days=2)
    labels = archive.labels(end_of_day(LAST_DAY))
    rows = assemble_training_set(log, labels, LAST_DAY, split)
    inputs = describe_inputs(archive, log, labels, LAST_DAY, split)
    half_life_days = POLICIES.training.half_life_days
    training = rows.between(split.train_from, split.evaluate_from).with_half_life(half_life_days)
    contract = learn_data_contract(archive, LAST_DAY)
    candidate = fit_candidate(training, recent_rows(log, LAST_DAY, split), bank.new_folder(), contract=contract)
    comparison = compare_champion_challenger(
        SageMakerRegistry(GROUP), ScoredCandidate(candidate.detector, candidate.digest), rows, split, POLICIES, inputs
    )
    again = RefitRows(rows, split, recent_rows(log, LAST_DAY, split), contract, half_life_days)
    refit, comparison = refit_promoted(candidate.detector.facts, comparison, again, bank.new_folder(), POLICIES)

    assert version.digest == candidate.digest
    assert refit is not None
    fitted_again, _ = unpack_model(bank.bucket.get("models/same-model/refit/model.tar.gz"))
    assert fitted_again.digest == refit.digest != candidate.digest
    assert version.tags["fingerprint"] == candidate.fingerprint
    stored = ExecutionArtifacts(bank.bucket, "same-model").verdict()
    assert stored.verdict == comparison.verdict
    assert (stored.digest, stored.is_refit) == (refit.digest, True)
    assert comparison.champion_version == "1"
    documents = {"detector.json", "reliability.svg", "data_contract.json"}
    assert set(files) == {"model.ubj", "trees.bin", "reference.parquet", *documents}
    bundle = {name: bank.bucket.get(f"models/same-model/verdict/{name}") for name in comparison.bundle.files()}
    assert check_bundle(bundle, stored.tags["verdict_digest"]) == []
    assert inputs.feature_parity.rows > 0
    card = bank.bucket.get("models/same-model/model_card.md").decode()
    assert f"# Card-fraud detector {refit.digest[:12]}" in card
    assert "| run that trained it | same-model |" in card
    assert "The champion was version 1." in card
    assert bank.bucket.get("models/same-model/reliability_judged.svg").startswith(b"<svg")


class SageMakerWithUpdates:
    """SageMaker on moto with the missing call `update_endpoint`: it is applied immediately, or rolled back."""

    def __init__(self) -> None:
        self._client = boto3.client("sagemaker")
        self.updates: list[dict[str, Any]] = []
        self.rolls_back = False

    def update_endpoint(self, **arguments: Any) -> None:
        self.updates.append(arguments)
        if not self.rolls_back:
            name = arguments["EndpointName"]
            self._client.delete_endpoint(EndpointName=name)
            self._client.create_endpoint(EndpointName=name, EndpointConfigName=arguments["EndpointConfigName"])

    def set_approval(self, arn: str, approval: str) -> None:
        """Set the approval of a package, and repeat its metadata: moto deletes metadata that an update omits."""
        found = self._client.describe_model_package(ModelPackageName=arn)
        self._client.update_model_package(
            ModelPackageArn=arn,
            ModelApprovalStatus=approval,
            CustomerMetadataProperties=found["CustomerMetadataProperties"],
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


SCORING = {
    "image": IMAGE,
    "role": "arn:aws:iam::123456789012:role/scoring",
    "environment": {"CARDWATCH_MODEL_FOLDER": "/opt/ml/model"},
    "subnets": ["subnet-1"],
    "security_groups": ["sg-1"],
    "kms_key": "arn:aws:kms:eu-central-1:123456789012:key/1",
    "alarms": ["scoring-errors"],
}


@pytest.fixture
def sagemaker(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> Iterator[SageMakerWithUpdates]:
    """A client, and an endpoint `scoring` that serves the first champion."""
    client = SageMakerWithUpdates()
    client.create_model(
        ModelName="terraformed",
        ExecutionRoleArn=SCORING["role"],
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": stand.first.model_url},
    )
    client.create_endpoint_config(
        EndpointConfigName="terraformed",
        ProductionVariants=[
            {
                "VariantName": "champion",
                "ModelName": "terraformed",
                "InitialInstanceCount": 2,
                "InstanceType": "ml.c5.large",
                "InitialVariantWeight": 1,
            }
        ],
        DataCaptureConfig={
            "EnableCapture": True,
            "InitialSamplingPercentage": 100,
            "DestinationS3Uri": "s3://history/capture",
            "CaptureOptions": [{"CaptureMode": "Input"}],
        },
    )
    client.create_endpoint(EndpointName="scoring", EndpointConfigName="terraformed")
    monkeypatch.setattr(handler, "Endpoint", lambda name: Endpoint(name, client=client))
    yield client
    client.delete_endpoint(EndpointName="scoring")
    client.delete_endpoint_config(EndpointConfigName="terraformed")
    client.delete_model(ModelName="terraformed")
    client.close()


def test_a_promoted_candidate_is_registered_and_served_and_its_retraining_ends(
    stand: Stand, sagemaker: SageMakerWithUpdates, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution, progress = "promoted", S3ProgressLog(stand.bank.bucket)
    url = train(stand.bank, execution)
    verdict = invoke(stand, monkeypatch, action="verdict", execution=execution, day=str(LAST_DAY), model_data_url=url)
    assert verdict["promoted"] is True
    assert verdict["reasons"][0].startswith("judged on days")

    register = {"action": "register", "execution": execution, "model_data_url": url, "image": IMAGE}
    register |= {"day": str(LAST_DAY), "reasons": ["it decayed"], "manual_approval": True}
    arn = invoke(stand, monkeypatch, **register)["model_package_arn"]
    assert invoke(stand, monkeypatch, **register)["model_package_arn"] == arn  # idempotent
    registry = SageMakerRegistry(GROUP)
    assert registry.champion() == stand.first.version  # not approved yet
    assert registry.alias("challenger") == registry.package(arn).version
    sagemaker.set_approval(arn, "Approved")
    champion = registry.champion_package()
    assert champion.arn == arn
    assert champion.version.version == "2"
    assert champion.version.tags["because"] == '["it decayed"]'
    assert champion.version.digest == ExecutionArtifacts(stand.bank.bucket, execution).verdict().digest
    assert champion.version.digest != champion.version.tags["judged_digest"]

    update = {"action": "update", "execution": execution, "model_package_arn": arn, "scoring": SCORING}
    config = invoke(stand, monkeypatch, **update)["endpoint_config"]
    assert invoke(stand, monkeypatch, **update)["endpoint_config"] == config
    assert len(sagemaker.updates) == 1
    deployment = sagemaker.updates[0]["DeploymentConfig"]
    assert deployment["AutoRollbackConfiguration"] == {"Alarms": [{"AlarmName": "scoring-errors"}]}
    made = sagemaker.describe_endpoint_config(EndpointConfigName=config)
    [variant] = made["ProductionVariants"]
    assert (variant["InstanceType"], variant["InitialInstanceCount"]) == ("ml.c5.large", 2)
    assert made["DataCaptureConfig"]["DestinationS3Uri"] == "s3://history/capture"
    model = sagemaker.describe_model(ModelName=variant["ModelName"])
    assert model["PrimaryContainer"]["ModelDataUrl"] == champion.model_url
    assert model["PrimaryContainer"]["Environment"] == SCORING["environment"]
    assert model["VpcConfig"]["Subnets"] == ["subnet-1"]

    assert progress.of_day(LAST_DAY, ProgressPart.RETRAINING) == []
    status = {"action": "status", "execution": execution, "endpoint_config": config}
    assert invoke(stand, monkeypatch, **status) == {"status": "InService"}
    assert progress.of_day(LAST_DAY, ProgressPart.RETRAINING) == [
        RetrainingEnded(day=LAST_DAY, challenger_version="2", promoted=True, reasons=verdict["reasons"])
    ]
    served, _ = unpack_model(stand.bank.bucket.get(parse_object_url(champion.model_url)[1]))
    assert served.version == "2"
    sagemaker.set_approval(arn, "Rejected")
    assert registry.champion() == stand.first.version


def test_the_status_of_an_endpoint_that_was_rolled_back_says_so(
    stand: Stand, sagemaker: SageMakerWithUpdates, monkeypatch: pytest.MonkeyPatch
) -> None:
    sagemaker.rolls_back = True
    update = {"action": "update", "execution": "first", "model_package_arn": stand.first.arn, "scoring": SCORING}
    config = invoke(stand, monkeypatch, **update)["endpoint_config"]
    status = {"action": "status", "execution": "first", "endpoint_config": config}
    assert invoke(stand, monkeypatch, **status) == {"status": "RolledBack"}


def test_a_refused_candidate_ends_the_retraining_and_the_champion_stays(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(stand.bank, "refused", NO_CHALLENGER_WINS)
    verdict = invoke(stand, monkeypatch, action="verdict", execution="refused")
    assert verdict["promoted"] is False
    assert any(reason.startswith("FAILED: ") and "of the champion's cost" in reason for reason in verdict["reasons"])
    assert S3ProgressLog(stand.bank.bucket).of_day(LAST_DAY, ProgressPart.RETRAINING) == [
        RetrainingEnded(day=LAST_DAY, challenger_version=None, promoted=False, reasons=verdict["reasons"])
    ]
    assert SageMakerRegistry(GROUP).champion() == stand.first.version


@pytest.mark.parametrize(
    ("policies", "archive"), [(AS_JUDGED, "job-2/output/model.tar.gz"), (POLICIES, "refit/model.tar.gz")]
)
def test_a_model_other_than_the_compared_one_is_not_registered(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, policies: Policies, archive: str
) -> None:
    execution = f"swapped-{next(NUMBERS)}"
    train(stand.bank, execution, policies)
    other = f"models/{execution}/{archive}"
    version, files = unpack_model(stand.bank.bucket.get(f"models/{execution}/job-1/output/model.tar.gz"))
    files["detector.json"] += b"\n"
    changed = structs.replace(version, tags={**version.tags, "digest": digest_of(files)})
    stand.bank.bucket.put(other, pack_model(changed, files))
    event = {"action": "register", "execution": execution, "image": IMAGE, "reasons": [], "manual_approval": False}
    with pytest.raises(CorruptModel, match="the verdict says"):
        invoke(stand, monkeypatch, **event, model_data_url=f"s3://{stand.bank.bucket.name}/{other}")
    assert SageMakerRegistry(GROUP).find_by_execution(execution) is None


def test_a_registered_model_with_changed_files_is_refused(stand: Stand) -> None:
    registry = SageMakerRegistry(GROUP)
    champion = registry.champion()
    forged = structs.replace(champion, tags={**champion.tags, "digest": "0" * 64})
    with pytest.raises(CorruptModel, match="changed after that"):
        registry.files(forged)


def test_a_registration_that_is_killed_at_any_step_is_completed_by_the_next_one(stand: Stand) -> None:
    bucket, group = new_bucket(f"registrations-{next(NUMBERS)}"), "registrations"
    client = boto3.client("sagemaker")
    client.create_model_package_group(ModelPackageGroupName=group)
    registration = Registration(
        execution="killed",
        files=SageMakerRegistry(GROUP).files(stand.first.version),
        tags=stand.first.version.tags,
        image=IMAGE,
        approved=True,
    )

    class DyingOnceCreated:
        def create_model_package(self, **arguments: Any) -> None:
            client.create_model_package(**arguments)
            raise Killed

        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

    for dies_at in (0, 1):  # before the model is stored, before the other tags are
        with pytest.raises(Killed):
            SageMakerRegistry(group).register(KillingBucket(bucket.name, dies_at), registration)
    with pytest.raises(Killed):
        SageMakerRegistry(group, client=DyingOnceCreated()).register(bucket, registration)
    stale = structs.replace(stand.first.version, version="7")  # as if the next version had been another one
    bucket.put("models/killed/model.tar.gz", pack_model(stale, registration.files))

    package = SageMakerRegistry(group).register(bucket, registration)

    assert len(client.list_model_packages(ModelPackageGroupName=group)["ModelPackageSummaryList"]) == 1
    assert package.version.version == "1"
    assert {**package.version.tags} == registration.tags
    stored, files = unpack_model(bucket.get("models/killed/model.tar.gz"))
    assert stored.version == "1"
    assert files == registration.files
    client.close()


def test_a_group_without_a_champion_says_how_to_get_one(stand: Stand) -> None:
    client = boto3.client("sagemaker")
    client.create_model_package_group(ModelPackageGroupName="empty")
    client.close()
    registry = SageMakerRegistry("empty")
    assert registry.alias("champion") is registry.alias("challenger") is registry.version("1") is None
    with pytest.raises(NoChampion, match="bootstrap"):
        registry.champion()


def test_a_step_names_the_missing_artifact_of_its_predecessor(stand: Stand) -> None:
    with pytest.raises(ObjectMissing, match=r"training/unheard-of/assembled\.json"):
        judge(stand.bank.run("unheard-of"))


def test_an_unknown_action_is_misconfigured(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Misconfigured, match="does not know what to do"):
        invoke(stand, monkeypatch, action="dance", execution="first")
