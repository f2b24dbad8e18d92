"""Encryption, public access, retention and alarms of all resources that would be created."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

import boto3
import pytest

pytestmark = pytest.mark.proves("plan", "everything is encrypted, closed to the public, and has an alarm")

ENCRYPTED: Final[dict[str, Callable[[dict[str, Any]], object]]] = {
    "aws_cloudwatch_event_bus": lambda bus: bus["kms_key_identifier"],
    "aws_cloudwatch_log_group": lambda group: group["kms_key_id"],
    "aws_dynamodb_table": lambda table: table["server_side_encryption"][0]["kms_key_arn"],
    "aws_kinesis_stream": lambda stream: stream["encryption_type"] == "KMS" and stream["kms_key_id"],
    "aws_lambda_function": lambda function: function["kms_key_arn"],
    "aws_sagemaker_endpoint_configuration": lambda config: (
        config["kms_key_arn"] and config["data_capture_config"][0]["kms_key_id"]
    ),
    "aws_scheduler_schedule": lambda schedule: schedule["kms_key_arn"],
    "aws_sns_topic": lambda topic: topic["kms_master_key_id"],
    "aws_sqs_queue": lambda queue: queue["kms_master_key_id"],
}

# What is watched of each kind: the dimension that names it, and metrics of which there must be an alarm.
WATCHED: Final = {
    "aws_dynamodb_table": ("TableName", {"ThrottledRequests"}),
    "aws_kinesis_stream": ("StreamName", {"WriteProvisionedThroughputExceeded", "GetRecords.IteratorAgeMilliseconds"}),
    "aws_lambda_function": ("FunctionName", {"Errors", "Throttles"}),
    "aws_sagemaker_endpoint": ("EndpointName", {"Invocation5XXErrors", "ModelLatency"}),
    "aws_sfn_state_machine": ("StateMachineArn", {"ExecutionsFailed", "ExecutionsTimedOut"}),
    "aws_sqs_queue": ("QueueName", {"ApproximateNumberOfMessagesVisible"}),
}
BUCKET_GUARDS: Final = (
    "lifecycle_configuration",
    "public_access_block",
    "server_side_encryption_configuration",
    "versioning",
)
WAYS_OUT: Final = {
    "aws_egress_only_internet_gateway",
    "aws_eip",
    "aws_internet_gateway",
    "aws_lambda_function_url",
    "aws_nat_gateway",
}
NAMES: Final = {
    "aws_lambda_function": "function_name",
    "aws_sfn_state_machine": "arn",
}


def of(made: list[Any], kind: str) -> list[dict[str, Any]]:
    found = [resource.values for resource in made if resource.type == kind]
    assert found, kind
    return found


@pytest.mark.parametrize("kind", ENCRYPTED)
def test_it_is_encrypted_with_a_key_of_ours(made: list[Any], kind: str) -> None:
    for values in of(made, kind):
        assert str(ENCRYPTED[kind](values)).startswith("arn:aws:kms:"), values


def test_every_bucket_is_encrypted_versioned_and_closed_to_the_public(made: list[Any]) -> None:
    for bucket in of(made, "aws_s3_bucket"):
        for kind in BUCKET_GUARDS:
            guards = [guard for guard in of(made, f"aws_s3_bucket_{kind}") if guard["bucket"] == bucket["id"]]
            assert len(guards) == 1, (bucket["bucket"], kind)
            if kind == "public_access_block":
                blocks = ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")
                assert all(guards[0][block] for block in blocks)


def test_buckets_and_queues_refuse_plain_text(made: list[Any]) -> None:
    for kind, wanted in (("aws_s3_bucket", "aws_s3_bucket_policy"), ("aws_sqs_queue", "aws_sqs_queue_policy")):
        policies = [json.loads(values["policy"])["Statement"] for values in of(made, wanted)]
        assert len(policies) == len(of(made, kind))
        for statements in policies:
            [refusal] = [statement for statement in statements if statement["Effect"] == "Deny"]
            assert refusal["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_every_log_ends_some_day(made: list[Any]) -> None:
    assert all(group["retention_in_days"] > 0 for group in of(made, "aws_cloudwatch_log_group"))


def test_nothing_has_a_way_to_the_internet(made: list[Any]) -> None:
    assert not WAYS_OUT & {resource.type for resource in made}
    assert not any(subnet["map_public_ip_on_launch"] for subnet in of(made, "aws_subnet"))
    for direction in ("ingress", "egress"):
        for rule in of(made, f"aws_vpc_security_group_{direction}_rule"):
            assert not rule["cidr_ipv4"], rule
            assert not rule["cidr_ipv6"], rule


def test_every_method_of_the_api_asks_who_calls(made: list[Any]) -> None:
    for method in of(made, "aws_api_gateway_method"):
        assert method["authorization"] == "AWS_IAM"
        assert method["api_key_required"]


@pytest.mark.parametrize("kind", WATCHED)
def test_there_is_an_alarm_for_it(made: list[Any], kind: str) -> None:
    dimension, metrics = WATCHED[kind]
    for values in of(made, kind):
        name = values[NAMES.get(kind, "name")]
        watching = [a for a in of(made, "aws_cloudwatch_metric_alarm") if a["dimensions"].get(dimension) == name]
        assert metrics <= {alarm["metric_name"] for alarm in watching}, name


def test_every_alarm_is_told_to_the_topic_and_has_a_name_of_its_own(made: list[Any]) -> None:
    [topic] = of(made, "aws_sns_topic")
    alarms = of(made, "aws_cloudwatch_metric_alarm")
    assert all(alarm["alarm_actions"] == [topic["arn"]] for alarm in alarms)
    assert len({alarm["alarm_name"] for alarm in alarms}) == len(alarms)


def test_the_endpoint_scales_by_a_dimension_that_exists(made: list[Any]) -> None:
    model = boto3.client("application-autoscaling", region_name="eu-central-1").meta.service_model
    known = model.shape_for("ScalableDimension").enum
    for kind in ("aws_appautoscaling_target", "aws_appautoscaling_policy"):
        assert all(values["scalable_dimension"] in known for values in of(made, kind))
    [target] = of(made, "aws_appautoscaling_target")
    assert 1 <= target["min_capacity"] <= target["max_capacity"]


def test_the_schedule_is_a_cron_of_six_fields_with_one_day_left_open(made: list[Any]) -> None:
    for schedule in of(made, "aws_scheduler_schedule"):
        fields = re.fullmatch(r"cron\((.*)\)", schedule["schedule_expression"])[1].split(" ")  # type: ignore[index]
        assert len(fields) == 6
        assert [fields[2], fields[4]].count("?") == 1
        assert 0 <= int(fields[0]) <= 59
        assert 0 <= int(fields[1]) <= 23


def test_the_dashboard_shows_only_what_is_there(made: list[Any]) -> None:
    [dashboard] = of(made, "aws_cloudwatch_dashboard")
    widgets = json.loads(dashboard["dashboard_body"])["widgets"]
    shown = {str(part) for widget in widgets for metric in widget["properties"]["metrics"] for part in metric[3::2]}
    there = {str(values[NAMES.get(kind, "name")]) for kind in WATCHED for values in of(made, kind)} | {"champion"}
    assert shown <= there
    assert len({(widget["x"], widget["y"]) for widget in widgets}) == len(widgets)
