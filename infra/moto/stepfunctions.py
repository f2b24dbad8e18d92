"""AWS Step Functions: states that wait for SageMaker jobs, validation of definitions, and versions of machines."""

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

from infra.moto.patching import patch

_JOBS: Final = {
    "create_processing_job": ("ProcessingJobName", "describe_processing_job", "ProcessingJobStatus"),
    "create_training_job": ("TrainingJobName", "describe_training_job", "TrainingJobStatus"),
}
"""For each call that starts a job: the parameter with the job's name, the call that describes it, its status field."""

_factory: Any = state_task_factory
_service_for: Final = _factory.state_task_service_for


class SageMakerTask(StateTaskServiceCallback):
    """A state `arn:aws:states:::sagemaker:ACTION`. With `.sync` it waits for a processing or training job."""

    def __init__(self) -> None:
        # moto's code for `.sync` requires that task tokens are supported as well.
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
        output = getattr(client, self._get_boto_service_action())(**normalised_parameters)
        output.pop("ResponseMetadata", None)
        env.stack.append(_json_value(output))

    def _build_sync_resolver(
        self, env: Any, resource_runtime_part: Any, normalised_parameters: dict[str, Any], state_credentials: Any
    ) -> Callable[[], Any]:
        env.stack.pop()
        client = boto_client_for(resource_runtime_part.region, "sagemaker", state_credentials)
        name, describe, status = _JOBS[self._get_boto_service_action()]

        def resolve() -> Any:
            job = getattr(client, describe)(**{name: normalised_parameters[name]})
            job.pop("ResponseMetadata", None)
            if job[status] in ("InProgress", "Stopping"):
                return None
            if job[status] == "Completed":
                return _json_value(job)
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
        event = TaskFailedEventDetails(
            resource=self._get_sfn_resource(),
            resourceType=self._get_sfn_resource_type(),
            error=name.error_name,
            cause=cause,
        )
        details: Any = {"taskFailedEventDetails": event}
        return FailureEvent(env=env, error_name=name, event_type=HistoryEventType.TaskFailed, event_details=details)


@patch("states", "StartExecution with sagemaker:*.sync", _factory, "state_task_service_for")
def state_task_service_for(service_name: str) -> Any:
    """moto does not support waiting for SageMaker jobs. Here a state ends with its job, and fails if the job fails."""
    return SageMakerTask() if service_name == "sagemaker" else _service_for(service_name)


@patch("states", "ValidateStateMachineDefinition", StepFunctionResponse)
def validate_state_machine_definition(response: StepFunctionResponse) -> ActionResult:
    """moto lacks this call. Terraform uses it to plan each state machine."""
    try:
        StepFunctionsParserBackend._validate_definition(response._get_param("definition"))
    except InvalidDefinition as error:
        diagnostic = {"severity": "ERROR", "code": "INVALID_DEFINITION", "message": str(error.message)}
        return ActionResult({"result": "FAIL", "diagnostics": [diagnostic], "truncated": False})
    return ActionResult({"result": "OK", "diagnostics": [], "truncated": False})


@patch("states", "ListStateMachineVersions", StepFunctionResponse)
def list_state_machine_versions(response: StepFunctionResponse) -> ActionResult:
    """moto lacks this call. Terraform uses it to read each state machine."""
    machine = response.stepfunction_backend.describe_state_machine(response._get_param("stateMachineArn"))
    versions = sorted(machine.versions.values(), key=lambda version: version.version, reverse=True)
    listed = [{"stateMachineVersionArn": each.arn, "creationDate": each.creation_date} for each in versions]
    return ActionResult({"stateMachineVersions": listed})


def _json_value(output: Any) -> Any:
    """Return the output of a call with its times as text, as a state passes it on."""
    return json.loads(to_json_str(output))
