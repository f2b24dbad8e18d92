"""Lambda functions of container images, run as processes of this machine instead of Docker containers.

The handler is the image's command (`ImageConfig.Command`). It is imported from this installation, or from `PYTHONPATH`
if the function's environment sets it.
"""

from __future__ import annotations

import uuid
from typing import Any, Final

from moto.awslambda.models import LambdaBackend, LambdaFunction
from moto.core.utils import unix_time_millis

from infra.moto.lambda_.execution_environments import EnvironmentPool, FunctionImage, function_error
from infra.moto.lambda_.runtime import InvocationResult
from infra.moto.patching import patch
from infra.moto.processes import environment

environments: Final = EnvironmentPool()

_create_function: Final[Any] = LambdaFunction.__init__
_delete_function = LambdaBackend.delete_function
_get_configuration = LambdaFunction.get_configuration
_update_configuration = LambdaFunction.update_configuration


@patch("lambda", "CreateFunction with a dead-letter queue", LambdaFunction, "__init__")
def create_function(function: Any, account_id: str, spec: dict[str, Any], *rest: Any, **named: Any) -> None:
    """moto does not store the dead-letter queue of a new function."""
    function.dead_letter_config = spec.get("DeadLetterConfig")
    _create_function(function, account_id, spec, *rest, **named)


@patch("lambda", "GetFunctionConfiguration with a dead-letter queue", LambdaFunction)
def get_configuration(function: Any, on_create: bool = False) -> dict[str, Any]:
    """moto does not return the dead-letter queue of a function."""
    found = _get_configuration(function, on_create)
    return {**found, "DeadLetterConfig": function.dead_letter_config} if function.dead_letter_config else found


@patch("lambda", "UpdateFunctionConfiguration with a dead-letter queue", LambdaFunction)
def update_configuration(function: Any, config_updates: dict[str, Any]) -> dict[str, Any]:
    """moto does not change the dead-letter queue of a function."""
    function.dead_letter_config = config_updates.get("DeadLetterConfig", function.dead_letter_config)
    return _update_configuration(function, config_updates)


@patch("lambda", "DeleteFunction", LambdaBackend)
def delete_function(backend: LambdaBackend, function_name: str, qualifier: str | None = None) -> None:
    """moto has no execution environments. Those of a deleted function are stopped."""
    name = function_name.rsplit(":", 1)[-1]
    _delete_function(backend, function_name, qualifier)
    environments.retire(lambda image: image.function_arn.rsplit(":", 1)[-1] == name)


@patch("lambda", "Invoke", LambdaFunction, "_invoke_lambda")
def invoke_in_process(function: LambdaFunction, event: Any = None) -> tuple[str, bool, str]:
    """moto runs functions in Docker, and only those of zip files. Ours are images and must run without Docker.

    Timeouts, errors and printed output are handled as on AWS. Memory limits and IAM permissions are not enforced.
    """
    result = run(function, event)
    return result.payload, result.failed, result.log


def run(function: LambdaFunction, event: Any) -> InvocationResult:
    """Invoke a function with its current configuration."""
    if function.package_type != "Image" or not function.image_config.cmd:
        message = "only functions of an image with a command in their configuration can be run here"
        return function_error("InvalidRuntimeException", message)
    request_id = str(uuid.uuid4())
    stream = f"[{function.version}]{request_id.replace('-', '')}"
    invocation = {
        "event": event,
        "timeout_ms": int(function.timeout) * 1000,
        "context": {
            "function_name": function.function_name,
            "function_version": "$LATEST",
            "invoked_function_arn": function.function_arn,
            "memory_limit_in_mb": function.memory_size,
            "aws_request_id": request_id,
            "log_group_name": function.logs_group_name,
            "log_stream_name": stream,
        },
    }
    result = environments.invoke(image_of(function), invocation)
    _write_log(function, stream, result)
    return result._replace(request_id=request_id)


def image_of(function: LambdaFunction) -> FunctionImage:
    """Return the code and the current configuration of a function."""
    handler = function.image_config.cmd[0]
    fixed = {
        "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
        "_HANDLER": handler,
    }
    variables = environment(function.region, {**fixed, **function.environment_vars})
    return FunctionImage(
        function_arn=function.function_arn,
        handler=handler,
        code=function.code_sha_256,
        variables=tuple(sorted(variables.items())),
    )


def _write_log(function: LambdaFunction, stream: str, result: InvocationResult) -> None:
    """Write the printed lines to the function's log group, if it exists. Our functions' roles may not create it."""
    if not result.log or function.logs_group_name not in function.logs_backend.groups:
        return
    events = [{"timestamp": unix_time_millis(), "message": line} for line in result.log.splitlines()]
    function.logs_backend.create_log_stream(function.logs_group_name, stream)
    function.logs_backend.put_log_events(function.logs_group_name, stream, events)
