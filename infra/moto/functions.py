"""Lambda: functions from an image really run, in processes of their own instead of Docker's containers.

The handler is the image's command (`ImageConfig.Command`), found in this installation's packages or in `PYTHONPATH`, if
the function's environment has one.
"""

from __future__ import annotations

import json
import uuid
from typing import Any, Final

from moto.awslambda.models import LambdaBackend, LambdaFunction
from moto.core.utils import unix_time_millis

from infra.moto.added import added
from infra.moto.children import environment
from infra.moto.containers import Containers, Outcome, Recipe

containers: Final = Containers()

_delete_function = LambdaBackend.delete_function


@added("lambda", "Invoke", LambdaFunction, "_invoke_lambda")
def invoke_in_process(function: LambdaFunction, event: Any = None) -> tuple[str, bool, str]:
    """moto runs functions in Docker, and only zipped ones. Ours come from images and must run without Docker.

    Time-outs, errors and what a function prints are treated as AWS does. Memory is not limited, IAM not asked.
    """
    outcome = run(function, event)
    return outcome.payload, outcome.failed, outcome.log


def run(function: LambdaFunction, event: Any) -> Outcome:
    """Let a container of this function, as it is configured now, answer."""
    if function.package_type != "Image" or not function.image_config.cmd:
        message = "only functions of an image, with its command in their configuration, are run here"
        return Outcome(json.dumps({"errorType": "InvalidRuntimeException", "errorMessage": message}), failed=True)
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
    outcome = containers.invoke(recipe_of(function), invocation)
    _write_log(function, stream, outcome)
    return outcome


@added("lambda", "DeleteFunction", LambdaBackend)
def delete_function(backend: LambdaBackend, function_name: str, qualifier: str | None = None) -> None:
    """moto knows of no running containers. Those of a function end with it."""
    name = function_name.rsplit(":", 1)[-1]
    _delete_function(backend, function_name, qualifier)
    containers.retire(lambda recipe: recipe.function_arn.rsplit(":", 1)[-1] == name)


def recipe_of(function: LambdaFunction) -> Recipe:
    """What a container for this function, as it is configured now, is made of."""
    fixed = {
        "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
        "_HANDLER": function.image_config.cmd[0],
    }
    variables = environment(function.region, {**fixed, **function.environment_vars})
    return Recipe(
        function_arn=function.function_arn,
        handler=function.image_config.cmd[0],
        code=function.code_sha_256,
        variables=tuple(sorted(variables.items())),
    )


def _write_log(function: LambdaFunction, stream: str, outcome: Outcome) -> None:
    """Into the function's log group, if there is one: our functions' roles may not create it."""
    if not outcome.log or function.logs_group_name not in function.logs_backend.groups:
        return
    events = [{"timestamp": unix_time_millis(), "message": line} for line in outcome.log.splitlines()]
    function.logs_backend.create_log_stream(function.logs_group_name, stream)
    function.logs_backend.put_log_events(function.logs_group_name, stream, events)
