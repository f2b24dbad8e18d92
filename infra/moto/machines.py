"""Step Functions: states that wait for the end of SageMaker's jobs, and definitions checked before they are there."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from botocore.exceptions import ClientError
from moto.core.responses import ActionResult
from moto.core.utils import get_service_model
from moto.stepfunctions.parser.api import HistoryEventType, InvalidDefinition, TaskFailedEventDetails
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.state.exec.state_task import state_task_factory
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.utils.boto_client import boto_client_for
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str
from moto.stepfunctions.parser.models import StepFunctionsParserBackend
from moto.stepfunctions.responses import StepFunctionResponse

from infra.moto.added import added

# Of each job that may be waited for: what names it, how it is asked, and where its state stands.
_JOBS: Final = {
    "create_processing_job": ("ProcessingJobName", "describe_processing_job", "ProcessingJobStatus"),
    "create_training_job": ("TrainingJobName", "describe_training_job", "TrainingJobStatus"),
}

_factory: Any = state_task_factory
_service_for: Final = _factory.state_task_service_for


class SageMakerTask(StateTaskServiceCallback):
    """`arn:aws:states:::sagemaker:createProcessingJob.sync`, and training jobs alike; without `.sync` any action."""

    def __init__(self) -> None:
        # moto's code for `.sync` relies on an end point for task tokens, so both patterns have to be there.
        patterns: Any = {ResourceCondition.Sync, ResourceCondition.WaitForTaskToken}
        super().__init__(patterns)

    def _get_supported_parameters(self) -> set[str] | None:
        action = self.resource.api_action[:1].upper() + self.resource.api_action[1:]
        if action not in (model := get_service_model("sagemaker")).operation_names:
            return None
        return set(model.operation_model(action).input_shape.members)

    def _eval_service_task(
        self, env: Any, resource_runtime_part: Any, normalised_parameters: dict[str, Any], state_credentials: Any
    ) -> None:
        client = boto_client_for(resource_runtime_part.region, "sagemaker", state_credentials)
        answer = getattr(client, self._get_boto_service_action())(**normalised_parameters)
        answer.pop("ResponseMetadata", None)
        env.stack.append(_plain(answer))

    def _build_sync_resolver(
        self, env: Any, resource_runtime_part: Any, normalised_parameters: dict[str, Any], state_credentials: Any
    ) -> Callable[[], Any]:
        env.stack.pop()
        client = boto_client_for(resource_runtime_part.region, "sagemaker", state_credentials)
        name, ask, state = _JOBS[self._get_boto_service_action()]

        def resolve() -> Any:
            job = getattr(client, ask)(**{name: normalised_parameters[name]})
            job.pop("ResponseMetadata", None)
            if job[state] in ("InProgress", "Stopping"):
                return None
            if job[state] == "Completed":
                return _plain(job)
            failed = StatesErrorName(StatesErrorNameType.StatesTaskFailed)
            raise FailureEventException(self._failure(env, failed, to_json_str(job)))

        return resolve

    def _from_error(self, env: Any, ex: Exception) -> FailureEvent:
        if isinstance(ex, ClientError):
            code = ex.response["Error"]["Code"]
            name = f"SageMaker.{code}Exception" if code.startswith("Resource") else "SageMaker.AmazonSageMakerException"
            return self._failure(env, CustomErrorName(name), ex.response["Error"]["Message"])
        return super()._from_error(env=env, ex=ex)

    def _failure(self, env: Any, name: ErrorName, cause: str) -> FailureEvent:
        told = TaskFailedEventDetails(
            resource=self._get_sfn_resource(),
            resourceType=self._get_sfn_resource_type(),
            error=name.error_name,
            cause=cause,
        )
        details: Any = {"taskFailedEventDetails": told}
        return FailureEvent(env=env, error_name=name, event_type=HistoryEventType.TaskFailed, event_details=details)


@added("states", "StartExecution with sagemaker:*.sync", _factory, "state_task_service_for")
def state_task_service_for(service_name: str) -> Any:
    """moto refuses to wait for SageMaker's jobs. Here a state ends when its job does, and fails if the job fails."""
    return SageMakerTask() if service_name == "sagemaker" else _service_for(service_name)


@added("states", "ValidateStateMachineDefinition", StepFunctionResponse)
def validate_state_machine_definition(response: StepFunctionResponse) -> ActionResult:
    """moto does not have it, and Terraform calls it whenever it plans a state machine."""
    try:
        StepFunctionsParserBackend._validate_definition(response._get_param("definition"))
    except InvalidDefinition as error:
        diagnostic = {"severity": "ERROR", "code": "INVALID_DEFINITION", "message": str(error.message)}
        return ActionResult({"result": "FAIL", "diagnostics": [diagnostic], "truncated": False})
    return ActionResult({"result": "OK", "diagnostics": [], "truncated": False})


def _plain(answer: Any) -> Any:
    """An answer with its times as text: what a state machine can hand on."""
    return json.loads(to_json_str(answer))
