"""Steps of retraining that are single calls: actions of the Lambda function `model` for the state machine.

The function's image has no XGBoost and no Arrow, so this module does not import the steps that train or compare.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec import Struct

from adapters.aws.object_keys import parse_object_url
from adapters.aws.s3 import Bucket
from adapters.aws.s3_progress import ProgressPart, S3ProgressLog
from adapters.aws.sagemaker_endpoint import IN_SERVICE, ContainerSettings, Endpoint
from adapters.aws.sagemaker_registry import Registration, SageMakerRegistry
from adapters.model_registry.model_folder import unpack_model
from cardwatch.errors import CorruptModel
from cardwatch.progress import RetrainingEnded
from pipelines.sagemaker.execution import CandidateVerdict, ExecutionArtifacts


class _ExecutionAction(Struct, frozen=True, kw_only=True, tag_field="action"):
    execution: str


class VerdictAction(_ExecutionAction, frozen=True, kw_only=True, tag="verdict"):
    """Return the verdict on the candidate of this execution."""


class RegisterAction(_ExecutionAction, frozen=True, kw_only=True, tag="register"):
    """Register the candidate at `model_data_url`. `reasons` are the reasons for its training."""

    model_data_url: str
    image: str
    reasons: list[str]
    manual_approval: bool


class UpdateEndpointAction(_ExecutionAction, frozen=True, kw_only=True, tag="update"):
    """Update the endpoint to a registered model, with these deployment settings."""

    model_package_arn: str
    scoring: ContainerSettings


class EndpointStatusAction(_ExecutionAction, frozen=True, kw_only=True, tag="status"):
    """Return the state of the update to `endpoint_config`."""

    endpoint_config: str


Action: TypeAlias = VerdictAction | RegisterAction | UpdateEndpointAction | EndpointStatusAction


class ActionHandler(NamedTuple):
    """Runs actions with these clients."""

    bucket: Bucket
    registry: SageMakerRegistry
    endpoint: Endpoint

    def run(self, action: Action) -> dict[str, Any]:
        """Run an action and return its result. Every action is idempotent."""
        match action:
            case VerdictAction():
                verdict = self._verdict(action).verdict
                return {"promoted": verdict.promoted, "reasons": verdict.reasons}
            case RegisterAction():
                return {"model_package_arn": self._register(action)}
            case UpdateEndpointAction():
                package = self.registry.package(action.model_package_arn)
                config = self.endpoint.move_to(package.version.version, package.model_url, action.scoring)
                return {"endpoint_config": config}
            case EndpointStatusAction():
                return {"status": self._status(action)}

    def _verdict(self, action: Action) -> CandidateVerdict:
        return ExecutionArtifacts(self.bucket, action.execution).verdict()

    def _register(self, action: RegisterAction) -> str:
        """Register the compared candidate. Raises `CorruptModel` if its archive has another digest than the verdict.

        The archive is at `model_data_url`, unless the candidate was fitted again.
        """
        judged = self._verdict(action)
        version, files = unpack_model(self._archive(action, is_refit=judged.is_refit))
        if version.digest != judged.digest:
            where = "the model fitted again" if judged.is_refit else action.model_data_url
            raise CorruptModel(f"{where} has digest {version.digest}, the verdict says {judged.digest}")
        because = msgspec.json.encode(action.reasons).decode()
        registration = Registration(
            execution=action.execution,
            files=files,
            tags={**judged.tags, "because": because},
            image=action.image,
            approved=not action.manual_approval,
        )
        return self.registry.register(self.bucket, registration).arn

    def _archive(self, action: RegisterAction, *, is_refit: bool) -> bytes:
        if is_refit:
            return ExecutionArtifacts(self.bucket, action.execution).refit_archive()
        bucket, key = parse_object_url(action.model_data_url)
        return Bucket(bucket).get(key)

    def _status(self, action: EndpointStatusAction) -> str:
        """Return the state of the update. A model in service ends its retraining."""
        status = self.endpoint.status(action.endpoint_config)
        package = self.registry.find_by_execution(action.execution)
        if status == IN_SERVICE and package is not None:
            judged = self._verdict(action)
            ended = RetrainingEnded(
                day=judged.as_of,
                challenger_version=package.version.version,
                promoted=True,
                reasons=judged.verdict.reasons,
            )
            S3ProgressLog(self.bucket).write(judged.as_of, ProgressPart.RETRAINING, [ended])
        return status
