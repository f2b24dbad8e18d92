"""SageMaker endpoints with running model containers."""

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

from infra.moto.patching import patch
from infra.moto.sagemaker.data_capture import DataCapture
from infra.moto.sagemaker.model_container import ContainerNotStarted, ModelContainer
from infra.moto.sagemaker.variant_instances import EndpointInstances, VariantInstances

endpoint_instances: Final = EndpointInstances()

_FORWARDED: Final = ("Content-Type", "Accept", "X-Amzn-SageMaker-Custom-Attributes", "X-Amzn-SageMaker-Inference-Id")
"""Request headers that the container gets as well."""

_create_endpoint_config = SageMakerResponse.create_endpoint_config
_create_endpoint = SageMakerResponse.create_endpoint
_delete_endpoint = SageMakerModelBackend.delete_endpoint


@patch("sagemaker", "CreateEndpointConfig", SageMakerResponse)
def create_endpoint_config(response: SageMakerResponse) -> ActionResult:
    """moto does not store shadow variants and network settings. Terraform would plan to replace the configuration."""
    action_result = _create_endpoint_config(response)
    config: Any = response.sagemaker_backend.endpoint_configs[response._get_param("EndpointConfigName")]
    config.shadow_production_variants = response._get_param("ShadowProductionVariants")
    config.vpc_config = response._get_param("VpcConfig")
    config.execution_role_arn = response._get_param("ExecutionRoleArn")
    config.enable_network_isolation = response._get_param("EnableNetworkIsolation")
    return action_result


@patch("sagemaker", "CreateEndpoint", SageMakerResponse)
def create_endpoint(response: SageMakerResponse) -> ActionResult:
    """moto's endpoints have no containers. Ours start one for each variant, with the model downloaded from S3.

    The endpoint is Creating until all pass the health check, then InService, or Failed with a reason.
    """
    action_result = _create_endpoint(response)
    backend = response.sagemaker_backend
    endpoint: Any = backend.endpoints[response._get_param("EndpointName")]
    endpoint.last_deployment_config = response._get_param("DeploymentConfig")
    endpoint.endpoint_status = "Creating"
    _deploy_in_background(backend, endpoint, endpoint.endpoint_config_name, "Failed")
    return action_result


@patch("sagemaker", "UpdateEndpoint", SageMakerResponse)
def update_endpoint(response: SageMakerResponse) -> ActionResult:
    """moto lacks this call, which promotes a model. New containers start beside the old ones and then replace them.

    If they do not start, or one of the deployment's alarms goes off while they are watched, the old ones continue to
    serve. All traffic moves in one step even if the deployment configures a canary.
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
    _deploy_in_background(backend, endpoint, config_name, "InService")
    return ActionResult({"EndpointArn": endpoint.arn})


@patch("sagemaker", "DeleteEndpoint", SageMakerModelBackend)
def delete_endpoint(backend: SageMakerModelBackend, endpoint_name: str) -> None:
    """moto's endpoints have no containers. Those of a deleted endpoint are stopped."""
    _delete_endpoint(backend, endpoint_name)
    endpoint_instances.stop(_key(backend, endpoint_name))


@patch("sagemaker-runtime", "InvokeEndpoint", SageMakerRuntimeResponse)
def invoke_endpoint(response: SageMakerRuntimeResponse) -> TYPE_RESPONSE:
    """moto returns prepared responses from a queue. Here the model's container responds.

    As on AWS, a response with another status than 200 is a ModelError.
    """
    name = response.path.split("/")[2]
    backend = sagemaker_backends[response.current_account][response.region]
    headers = {key: value for key in _FORWARDED if (value := response.headers.get(key))}
    try:
        instances = endpoint_instances.serving(_key(backend, name))
        variant, reply = instances.invoke(
            bytes(response.raw_body), headers, response.headers.get("X-Amzn-SageMaker-Target-Variant", "")
        )
    except KeyError:
        message = f"Endpoint {name} of account {backend.account_id} not found."
        return _error(400, "ValidationError", {"Message": message})
    if reply.status != 200:
        original = reply.body.decode(errors="replace")
        received = f"Received {'client' if 400 <= reply.status < 500 else 'server'} error ({reply.status}) from primary"
        error = {
            "Message": f'{received} with message "{original}".',
            "OriginalStatusCode": reply.status or 500,
            "OriginalMessage": original,
            "LogStreamArn": f"/aws/sagemaker/Endpoints/{name}",
        }
        return _error(424, "ModelError", error)
    response_headers = {"status": 200, "Content-Type": reply.headers.get("content-type", "")}
    response_headers["x-Amzn-Invoked-Production-Variant"] = variant
    if attributes := reply.headers.get("x-amzn-sagemaker-custom-attributes"):
        response_headers["X-Amzn-SageMaker-Custom-Attributes"] = attributes
    return 200, response_headers, reply.body


@patch("sagemaker-runtime", "InvokeEndpoint with a body of bytes", SageMakerRuntimeResponse, "setup_class")
def setup_class(
    response: SageMakerRuntimeResponse, request: Any, full_url: str, headers: Any, use_raw_body: bool = True
) -> None:
    """moto decodes every body as UTF-8 and fails at the bytes of feature rows."""
    BaseResponse.setup_class(response, request, full_url, headers, use_raw_body=True)


def _deploy_in_background(*arguments: Any) -> None:
    threading.Thread(target=_deploy, args=arguments, daemon=True).start()


def _deploy(backend: SageMakerModelBackend, endpoint: Any, config_name: str, failure_status: str) -> None:
    """Update an endpoint to a configuration, and set its status and failure reason."""
    try:
        deployment = endpoint.last_deployment_config or {}
        update = deployment.get("BlueGreenUpdatePolicy") or {}
        endpoint_instances.roll_out(
            _key(backend, endpoint.endpoint_name),
            _instances(backend, endpoint.endpoint_name, config_name),
            lambda: _active_alarm(backend, deployment),
            float(update.get("TerminationWaitInSeconds") or 0),
        )
    except ContainerNotStarted as error:
        endpoint.failure_reason = str(error)
        endpoint.endpoint_status = failure_status
    else:
        _set_in_service(backend, endpoint, config_name)
    endpoint.last_modified_time = utcnow()


def _set_in_service(backend: SageMakerModelBackend, endpoint: Any, config_name: str) -> None:
    config: Any = backend.endpoint_configs[config_name]
    endpoint.endpoint_config_name = config_name
    endpoint.production_variants = endpoint._process_production_variants(config.production_variants)
    if config.shadow_production_variants:
        endpoint.shadow_production_variants = endpoint._process_production_variants(config.shadow_production_variants)
    endpoint.data_capture_config = config.data_capture_config
    endpoint.failure_reason = None
    endpoint.endpoint_status = "InService"


def _instances(backend: SageMakerModelBackend, name: str, config_name: str) -> VariantInstances:
    config: Any = backend.endpoint_configs[config_name]

    def container(variant: dict[str, Any]) -> ModelContainer:
        model = backend._models[variant["ModelName"]].response_object
        return ModelContainer(backend.account_id, backend.region_name, variant["VariantName"], model)

    production = [container(variant) for variant in config.production_variants]
    shadows = [container(variant) for variant in config.shadow_production_variants or []]
    capture = DataCapture(backend.account_id, name, config.data_capture_config or {})
    weights = [float(variant.get("InitialVariantWeight", 1.0)) for variant in config.production_variants]
    return VariantInstances(list(zip(production, weights, strict=True)), shadows, capture)


def _active_alarm(backend: SageMakerModelBackend, deployment: dict[str, Any]) -> str:
    """Return the name of an alarm of the deployment that is in the state ALARM, or an empty string."""
    configured = (deployment.get("AutoRollbackConfiguration") or {}).get("Alarms") or []
    alarms = cloudwatch_backends[backend.account_id][backend.region_name].alarms
    names = [alarm["AlarmName"] for alarm in configured]
    return next((name for name in names if name in alarms and alarms[name].state_value == "ALARM"), "")


def _key(backend: SageMakerModelBackend, name: str) -> str:
    return f"{backend.account_id}/{backend.region_name}/{name}"


def _error(status: int, kind: str, body: dict[str, Any]) -> TYPE_RESPONSE:
    headers: Any = {"status": status, "Content-Type": "application/json", "x-amzn-ErrorType": kind}
    return status, headers, json.dumps(body)
