"""The steps of retraining that are a call and an answer: what the function `model` does for the state machine.

It runs in an image without XGBoost and Arrow, so nothing here imports what fits or judges.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec import Struct

from adapters.aws.object_keys import parse_object_url
from adapters.aws.s3 import Bucket
from adapters.aws.s3_progress import ProgressPart, S3ProgressLog
from adapters.aws.sagemaker_endpoint import IN_SERVICE, Endpoint, Surroundings
from adapters.aws.sagemaker_registry import Registration, SageMakerRegistry
from adapters.model_registry.model_folder import unpack_model
from cardwatch.errors import CorruptModel
from cardwatch.progress import RetrainingEnded
from pipelines.sagemaker.execution import Execution


class VerdictAction(Struct, frozen=True, kw_only=True, tag_field="action", tag="verdict"):
    """What did the gate say of this execution's candidate?"""

    execution: str


class RegisterAction(Struct, frozen=True, kw_only=True, tag_field="action", tag="register"):
    """RegisterAction the candidate that a training job left at `model_data_url`; `reasons`: why it was trained."""

    execution: str
    model_data_url: str
    image: str
    reasons: list[str]
    manual_approval: bool


class UpdateEndpointAction(Struct, frozen=True, kw_only=True, tag_field="action", tag="update"):
    """Move the endpoint to a registered model, in these surroundings."""

    execution: str
    model_package_arn: str
    scoring: Surroundings


class EndpointStatusAction(Struct, frozen=True, kw_only=True, tag_field="action", tag="status"):
    """Where does the move to `endpoint_config` stand?"""

    execution: str
    endpoint_config: str


Action: TypeAlias = VerdictAction | RegisterAction | UpdateEndpointAction | EndpointStatusAction


class Desk(NamedTuple):
    """What the actions work on."""

    bucket: Bucket
    registry: SageMakerRegistry
    endpoint: Endpoint

    def answer(self, action: Action) -> dict[str, Any]:
        """Do what is asked. Every action may be asked again: it finds what is done."""
        match action:
            case VerdictAction():
                verdict = Execution(self.bucket, action.execution).judged().verdict
                return {"promoted": verdict.promoted, "reasons": verdict.reasons}
            case RegisterAction():
                return {"model_package_arn": self._register(action)}
            case UpdateEndpointAction():
                package = self.registry.package(action.model_package_arn)
                config = self.endpoint.move_to(package.version.version, package.model_url, action.scoring)
                return {"endpoint_config": config}
            case EndpointStatusAction():
                return {"status": self._status(action)}

    def _register(self, action: RegisterAction) -> str:
        """RegisterAction what was judged: raises `CorruptModel` if the training job's model is another by now."""
        judged = Execution(self.bucket, action.execution).judged()
        bucket, key = parse_object_url(action.model_data_url)
        version, files = unpack_model(Bucket(bucket).get(key))
        if version.digest != judged.digest:
            raise CorruptModel(f"{action.model_data_url} has digest {version.digest}, {judged.digest} was judged")
        because = msgspec.json.encode(action.reasons).decode()
        registration = Registration(
            execution=action.execution,
            files=files,
            tags={**judged.tags, "because": because},
            image=action.image,
            approved=not action.manual_approval,
        )
        return self.registry.register(self.bucket, registration).arn

    def _status(self, action: EndpointStatusAction) -> str:
        """A model that is in service ends the retraining that made it."""
        status = self.endpoint.status(action.endpoint_config)
        package = self.registry.of_execution(action.execution)
        if status == IN_SERVICE and package is not None:
            judged = Execution(self.bucket, action.execution).judged()
            ended = RetrainingEnded(
                day=judged.as_of,
                challenger_version=package.version.version,
                promoted=True,
                reasons=judged.verdict.reasons,
            )
            S3ProgressLog(self.bucket).write(judged.as_of, ProgressPart.RETRAINING, [ended])
        return status
