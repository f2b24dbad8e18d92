"""What moto forgets of a resource that Terraform has described, so that the next plan would want to change it again."""

from __future__ import annotations

from typing import Any, Final

from moto.awslambda.models import LambdaFunction
from moto.core.responses import ActionResult
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.emrserverless.responses import EMRServerlessResponse
from moto.iam.access_control import IAMPolicyStatement, PermissionResult
from moto.kinesis.responses import KinesisResponse
from moto.s3.models import FakeDeleteMarker
from moto.s3.responses import S3Response

from infra.moto.added import added

_WITHOUT_TLS: Final = {"Bool": {"aws:SecureTransport": "false"}}

_is_action_permitted = IAMPolicyStatement.is_action_permitted
_create_stream = KinesisResponse.create_stream
_create_function: Final[Any] = LambdaFunction.__init__
_get_configuration = LambdaFunction.get_configuration
_update_configuration = LambdaFunction.update_configuration
_get_bucket_notification: Final[Any] = S3Response.get_bucket_notification
_make_rule: Final[Any] = SecurityGroupRule.__init__
_create_application = EMRServerlessResponse.create_application


@added("s3", "bucket policies that refuse what comes without TLS", IAMPolicyStatement)
def is_action_permitted(statement: IAMPolicyStatement, *arguments: Any, **named: Any) -> PermissionResult:
    """moto knows no conditions: such a policy would refuse every call. Here calls count as having come by TLS."""
    if statement._statement.get("Effect") == "Deny" and statement._statement.get("Condition") == _WITHOUT_TLS:
        return PermissionResult.NEUTRAL
    return _is_action_permitted(statement, *arguments, **named)


@added("s3", "DeleteObjects where a bucket was versioned once", FakeDeleteMarker)
def dispose(marker: FakeDeleteMarker) -> None:
    """moto fails on it, for its delete markers cannot be thrown away. Terraform empties a bucket in this way."""


@added("kinesis", "CreateStream with tags", KinesisResponse)
def create_stream(response: KinesisResponse) -> ActionResult:
    """moto forgets the tags that a stream is created with."""
    answer = _create_stream(response)
    if tags := response._get_param("Tags"):
        response.kinesis_backend.add_tags_to_stream(None, response._get_param("StreamName"), tags)
    return answer


@added("lambda", "CreateFunction with a dead-letter queue", LambdaFunction, "__init__")
def create_function(function: Any, account_id: str, spec: dict[str, Any], *rest: Any, **named: Any) -> None:
    """moto forgets where a function's failed asynchronous invocations go."""
    function.dead_letter_config = spec.get("DeadLetterConfig")
    _create_function(function, account_id, spec, *rest, **named)


@added("lambda", "GetFunctionConfiguration with a dead-letter queue", LambdaFunction)
def get_configuration(function: Any, on_create: bool = False) -> dict[str, Any]:
    """moto does not tell where a function's failed asynchronous invocations go."""
    told = _get_configuration(function, on_create)
    return {**told, "DeadLetterConfig": function.dead_letter_config} if function.dead_letter_config else told


@added("lambda", "UpdateFunctionConfiguration with a dead-letter queue", LambdaFunction)
def update_configuration(function: Any, config_updates: dict[str, Any]) -> dict[str, Any]:
    """moto does not change where a function's failed asynchronous invocations go."""
    function.dead_letter_config = config_updates.get("DeadLetterConfig", function.dead_letter_config)
    return _update_configuration(function, config_updates)


@added("s3", "GetBucketNotificationConfiguration with EventBridge", S3Response)
def get_bucket_notification(response: S3Response) -> Any:
    """moto forgets that a bucket tells EventBridge of its objects."""
    kept = response.backend.get_bucket_notification_configuration(response.bucket_name)
    if kept is None or kept.event_bridge is None or kept.topic or kept.queue or kept.cloud_function:
        return _get_bucket_notification(response)
    response.data["Action"] = "GetBucketNotificationConfiguration"
    return response.serialized(ActionResult({"EventBridgeConfiguration": {}}))


@added("ec2", "AuthorizeSecurityGroupEgress with prefix lists", SecurityGroupRule, "__init__")
def make_rule(rule: Any, *arguments: Any, **named: Any) -> None:
    """moto forgets the description of a rule about a prefix list."""
    _make_rule(rule, *arguments, **named)
    listed = named.get("prefix_list_id") or (arguments[7] if len(arguments) > 7 else None) or {}
    rule._description_of_list = listed.get("Description")


@added("ec2", "DescribeSecurityGroupRules", SecurityGroupRule, "description", is_property=True)
def describe_rule(rule: Any) -> str | None:
    """moto forgets the description of a rule about another group or a prefix list."""
    described = rule.ip_range.get("Description") or rule.source_group.get("Description") or rule._description_of_list
    return described if described is None else str(described)


@added("emr-serverless", "CreateApplication", EMRServerlessResponse)
def create_application(response: EMRServerlessResponse) -> ActionResult:
    """moto takes SPARK only (Terraform writes spark), forgets the architecture, and starts what is only CREATED."""
    response.params["type"] = response._get_param("type").upper()
    answer = _create_application(response)
    told: Any = answer.result
    application: Any = response.emrserverless_backend.applications[told["applicationId"]]
    application.state, application.architecture = "CREATED", response._get_param("architecture", "X86_64")
    return answer
