"""SageMaker: endpoints whose models really answer."""

from __future__ import annotations

import json
import threading
from typing import Any, Final

from moto.cloudwatch.models import cloudwatch_backends
from moto.core.common_types import TYPE_RESPONSE
from moto.core.responses import ActionResult, BaseResponse
from moto.core.utils import utcnow
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.models import SageMakerModelBackend, sagemaker_backends
from moto.sagemaker.responses import SageMakerResponse
from moto.sagemakerruntime.responses import SageMakerRuntimeResponse

from infra.moto.added import added
from infra.moto.capture import Capture
from infra.moto.fleets import Fleet, Fleets, weights
from infra.moto.models import ModelContainer, NotStarted

fleets: Final = Fleets()

_PASSED_ON: Final = ("Content-Type", "Accept", "X-Amzn-SageMaker-Custom-Attributes", "X-Amzn-SageMaker-Inference-Id")

_create_endpoint_config = SageMakerResponse.create_endpoint_config
_create_endpoint = SageMakerResponse.create_endpoint
_delete_endpoint = SageMakerModelBackend.delete_endpoint


@added("sagemaker", "CreateEndpointConfig", SageMakerResponse)
def create_endpoint_config(response: SageMakerResponse) -> ActionResult:
    """moto forgets shadow variants and what a configuration says of its network: a plan would want to make it anew."""
    answer = _create_endpoint_config(response)
    config: Any = response.sagemaker_backend.endpoint_configs[response._get_param("EndpointConfigName")]
    config.shadow_production_variants = response._get_param("ShadowProductionVariants")
    config.vpc_config = response._get_param("VpcConfig")
    config.execution_role_arn = response._get_param("ExecutionRoleArn")
    config.enable_network_isolation = response._get_param("EnableNetworkIsolation")
    return answer


@added("sagemaker", "CreateEndpoint", SageMakerResponse)
def create_endpoint(response: SageMakerResponse) -> ActionResult:
    """moto's endpoints have no container. Ours start one for each variant, with the model fetched from S3.

    The endpoint is Creating until they answer /ping, then InService, or Failed with the reason.
    """
    answer = _create_endpoint(response)
    backend = response.sagemaker_backend
    endpoint: Any = backend.endpoints[response._get_param("EndpointName")]
    endpoint.last_deployment_config = response._get_param("DeploymentConfig")
    endpoint.endpoint_status = "Creating"
    _in_background(_move, backend, endpoint, endpoint.endpoint_config_name, "Failed")
    return answer


@added("sagemaker", "UpdateEndpoint", SageMakerResponse)
def update_endpoint(response: SageMakerResponse) -> ActionResult:
    """moto does not have it; a promotion is one. The new containers start beside the old ones and then take over.

    If they do not start, or one of the deployment's alarms goes off in the time that it is watched, the old ones answer
    on. All traffic moves at once, whatever the deployment says of canaries.
    """
    backend = response.sagemaker_backend
    name, config_name = response._get_param("EndpointName"), response._get_param("EndpointConfigName")
    backend.describe_endpoint(name)
    backend.describe_endpoint_config(config_name)
    endpoint: Any = backend.endpoints[name]
    if endpoint.endpoint_status != "InService":
        raise ValidationError(message=f"Cannot update in-progress endpoint '{endpoint.arn}'.")
    if (deployment := response._get_param("DeploymentConfig")) or not response._get_param("RetainDeploymentConfig"):
        endpoint.last_deployment_config = deployment
    endpoint.endpoint_status = "Updating"
    _in_background(_move, backend, endpoint, config_name, "InService")
    return ActionResult({"EndpointArn": endpoint.arn})


@added("sagemaker", "DeleteEndpoint", SageMakerModelBackend)
def delete_endpoint(backend: SageMakerModelBackend, endpoint_name: str) -> None:
    """The containers of an endpoint end with it."""
    _delete_endpoint(backend, endpoint_name)
    fleets.stop(_key(backend, endpoint_name))


@added("sagemaker-runtime", "InvokeEndpoint", SageMakerRuntimeResponse)
def invoke_endpoint(response: SageMakerRuntimeResponse) -> TYPE_RESPONSE:
    """moto answers from a queue that somebody has filled before. Here the model's container answers.

    What it says with another status than 200 is a ModelError, as on AWS.
    """
    name = response.path.split("/")[2]
    backend = sagemaker_backends[response.current_account][response.region]
    headers = {key: value for key in _PASSED_ON if (value := response.headers.get(key))}
    try:
        fleet = fleets.of(_key(backend, name))
        variant, reply = fleet.ask(
            bytes(response.raw_body), headers, response.headers.get("X-Amzn-SageMaker-Target-Variant", "")
        )
    except KeyError:
        return _error(
            400, "ValidationError", {"Message": f"Endpoint {name} of account {backend.account_id} not found."}
        )
    if reply.status != 200:
        said = reply.body.decode(errors="replace")
        told = f"Received {'client' if 400 <= reply.status < 500 else 'server'} error ({reply.status}) from primary"
        return _error(
            424,
            "ModelError",
            {
                "Message": f'{told} with message "{said}".',
                "OriginalStatusCode": reply.status or 500,
                "OriginalMessage": said,
                "LogStreamArn": f"/aws/sagemaker/Endpoints/{name}",
            },
        )
    answer = {"status": 200, "Content-Type": reply.headers.get("content-type", "")}
    answer["x-Amzn-Invoked-Production-Variant"] = variant
    if attributes := reply.headers.get("x-amzn-sagemaker-custom-attributes"):
        answer["X-Amzn-SageMaker-Custom-Attributes"] = attributes
    return 200, answer, reply.body


@added("sagemaker-runtime", "InvokeEndpoint with a body of bytes", SageMakerRuntimeResponse, "setup_class")
def setup_class(
    response: SageMakerRuntimeResponse, request: Any, full_url: str, headers: Any, use_raw_body: bool = True
) -> None:
    """moto reads every body as UTF-8 and fails on the bytes of feature rows."""
    BaseResponse.setup_class(response, request, full_url, headers, use_raw_body=True)


def _move(backend: SageMakerModelBackend, endpoint: Any, config_name: str, status_of_failure: str) -> None:
    """Bring an endpoint to a configuration, and say how it went."""
    try:
        deployment = endpoint.last_deployment_config or {}
        update = deployment.get("BlueGreenUpdatePolicy") or {}
        fleets.roll_out(
            _key(backend, endpoint.endpoint_name),
            _fleet(backend, endpoint.endpoint_name, config_name),
            lambda: _alarmed(backend, deployment),
            float(update.get("TerminationWaitInSeconds") or 0),
        )
    except NotStarted as error:
        endpoint.failure_reason = str(error)
        endpoint.endpoint_status = status_of_failure
    else:
        _take_over(backend, endpoint, config_name)
    endpoint.last_modified_time = utcnow()


def _take_over(backend: SageMakerModelBackend, endpoint: Any, config_name: str) -> None:
    config: Any = backend.endpoint_configs[config_name]
    endpoint.endpoint_config_name = config_name
    endpoint.production_variants = endpoint._process_production_variants(config.production_variants)
    if config.shadow_production_variants:
        endpoint.shadow_production_variants = endpoint._process_production_variants(config.shadow_production_variants)
    endpoint.data_capture_config = config.data_capture_config
    endpoint.failure_reason = None
    endpoint.endpoint_status = "InService"


def _fleet(backend: SageMakerModelBackend, name: str, config_name: str) -> Fleet:
    config: Any = backend.endpoint_configs[config_name]

    def container(variant: dict[str, Any]) -> ModelContainer:
        model = backend._models[variant["ModelName"]].response_object
        return ModelContainer(backend.account_id, backend.region_name, variant["VariantName"], model)

    production = [container(variant) for variant in config.production_variants]
    shadows = [container(variant) for variant in config.shadow_production_variants or []]
    capture = Capture(backend.account_id, name, config.data_capture_config or {})
    return Fleet(list(zip(production, weights(config.production_variants), strict=True)), shadows, capture)


def _alarmed(backend: SageMakerModelBackend, deployment: dict[str, Any]) -> str:
    """The name of an alarm of the deployment that has gone off, or nothing."""
    named = (deployment.get("AutoRollbackConfiguration") or {}).get("Alarms") or []
    alarms = cloudwatch_backends[backend.account_id][backend.region_name].alarms
    names = [alarm["AlarmName"] for alarm in named]
    return next((name for name in names if name in alarms and alarms[name].state_value == "ALARM"), "")


def _key(backend: SageMakerModelBackend, name: str) -> str:
    return f"{backend.account_id}/{backend.region_name}/{name}"


def _error(status: int, kind: str, told: dict[str, Any]) -> TYPE_RESPONSE:
    headers: Any = {"status": status, "Content-Type": "application/json", "x-amzn-ErrorType": kind}
    return status, headers, json.dumps(told)


def _in_background(work: Any, *arguments: Any) -> None:
    threading.Thread(target=work, args=arguments, daemon=True).start()
