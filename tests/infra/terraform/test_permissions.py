"""Permissions: the statements of every policy that would be created."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import boto3
import pytest
from botocore.exceptions import UnknownServiceError

pytestmark = pytest.mark.proves(
    "plan", "every policy: no action `*`, no resource `*` where AWS knows one, every action exists"
)

ACCOUNT: Final = "arn:aws:iam::123456789012:root"
NEIGHBOUR: Final = "arn:aws:iam::210987654321:root"
POLICIES: Final = ("assume_role_policy", "policy", "resource_policy")

# For these AWS knows no resource that a policy could name.
WITHOUT_RESOURCE: Final = {
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "ecr:GetAuthorizationToken",
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}

# These services do not pass a source when they assume a role. iam:PassRole restricts who may give them one.
WITHOUT_SOURCE: Final = {"apigateway.amazonaws.com", "lambda.amazonaws.com"}

# Services whose client has another name than their actions, and actions that no call is named after.
CLIENTS: Final = {"monitoring": "cloudwatch", "states": "stepfunctions"}
WITHOUT_CALL: Final = {
    "ecr:BatchCheckLayerAvailability",
    "ec2:CreateNetworkInterfacePermission",
    "execute-api:Invoke",
    "iam:PassRole",
    "lambda:InvokeFunction",
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:UpdateLogDelivery",
    "s3:ListBucket",
    "sagemaker:InvokeEndpoint",
}

# Calls of S3 that go by another action.
NOT_ACTIONS: Final = {
    f"s3:{call}"
    for call in (
        "CopyObject",
        "DeleteObjects",
        "HeadBucket",
        "HeadObject",
        "ListBuckets",
        "ListObjects",
        "ListObjectsV2",
    )
}


class Statement(NamedTuple):
    """A statement and the resource whose policy it is in."""

    where: str
    effect: str
    principals: dict[str, set[str]]
    actions: set[str]
    resources: set[str]
    conditions: dict[str, dict[str, Any]]

    @property
    def allows(self) -> bool:
        return self.effect == "Allow"

    @property
    def condition_keys(self) -> set[str]:
        return {key for test in self.conditions.values() for key in test}


def many(value: Any) -> set[str]:
    """Return a JSON value of a policy, a string or a list of strings, as a set."""
    return {value} if isinstance(value, str) else set(value or ())


@pytest.fixture(scope="module")
def statements(made: list[Any]) -> list[Statement]:
    """All statements of all policies."""
    return [statement for resource in made for statement in statements_of(resource)]


def statements_of(resource: Any) -> Iterator[Statement]:
    for attribute in POLICIES:
        text = resource.values.get(attribute)
        if resource.type.startswith("aws_sqs_queue") and attribute == "policy" and not str(text).startswith("{"):
            continue
        if not isinstance(text, str) or not text.startswith("{"):
            continue
        for found in json.loads(text)["Statement"]:
            assert not {"NotAction", "NotResource", "NotPrincipal"} & set(found), resource.address
            told = found.get("Principal", {})
            principals = {"*": {"*"}} if told == "*" else {kind: many(names) for kind, names in told.items()}
            yield Statement(
                resource.address,
                found["Effect"],
                principals,
                many(found["Action"]),
                many(found.get("Resource")),
                found.get("Condition", {}),
            )


def test_every_role_and_every_resource_with_a_policy_is_looked_at(made: list[Any], statements: list[Statement]) -> None:
    looked_at = {statement.where for statement in statements}
    wanted = ("aws_iam_role", "aws_iam_role_policy", "aws_iam_policy", "aws_kms_key", "aws_s3_bucket_policy")
    assert {resource.address for resource in made if resource.type in wanted} <= looked_at


def test_nobody_may_do_everything(statements: list[Statement]) -> None:
    """A key belongs to its account, and a gateway lets through what the caller's own policy allows: no other `*`."""
    for statement in statements:
        if statement.allows and any("*" in action.removesuffix("kms:GenerateDataKey*") for action in statement.actions):
            if statement.where.startswith("aws_kms_key."):
                assert statement.actions in ({"kms:*"}, many(statement.actions) - {"kms:*"}), statement
                assert statement.actions != {"kms:*"} or statement.principals == {"AWS": {ACCOUNT}}
            else:
                assert statement.where.startswith("aws_vpc_endpoint.gateway["), statement
                assert "aws:ResourceAccount" in statement.condition_keys


def test_whoever_may_do_something_may_do_it_to_something_named(statements: list[Statement]) -> None:
    for statement in statements:
        if statement.allows and "*" in statement.resources:
            assert statement.actions <= WITHOUT_RESOURCE, statement


def test_whatever_is_open_to_anybody_is_closed_by_a_condition(statements: list[Statement]) -> None:
    for statement in statements:
        if statement.allows and "*" in set().union(*statement.principals.values()):
            assert statement.condition_keys & {"aws:ResourceAccount", "aws:PrincipalAccount"}, statement


def test_the_only_other_account_is_the_one_that_may_read_models(statements: list[Statement]) -> None:
    for statement in statements:
        for name in statement.principals.get("AWS", ()):
            if name == NEIGHBOUR:
                assert statement.where == "aws_sagemaker_model_package_group_policy.models"
                assert all(action.split(":")[1].startswith(("Describe", "List")) for action in statement.actions)
            else:
                assert name == "*" or ":123456789012:" in name, statement


def test_a_service_assumes_a_role_only_for_this_account(statements: list[Statement]) -> None:
    for statement in statements:
        if "sts:AssumeRole" in statement.actions and not statement.principals["Service"] <= WITHOUT_SOURCE:
            assert statement.condition_keys & {"aws:SourceAccount", "aws:SourceArn"}, statement


def test_a_role_is_handed_on_to_one_service_only(statements: list[Statement]) -> None:
    handing = [statement for statement in statements if "iam:PassRole" in statement.actions]
    assert handing
    for statement in handing:
        assert statement.actions == {"iam:PassRole"}
        assert statement.conditions == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
        assert not any("*" in resource for resource in statement.resources)


def test_nobody_may_change_who_may_do_what(statements: list[Statement]) -> None:
    for statement in statements:
        changing = {action for action in statement.actions if action.startswith(("iam:", "organizations:", "sts:"))}
        assert not statement.allows or changing <= {"iam:PassRole", "sts:AssumeRole"}, statement


def test_every_action_exists(statements: list[Statement]) -> None:
    """`validate` accepts any text as an action, so a misspelt one would be found only when it is needed."""
    calls: dict[str, set[str]] = {}
    for action in sorted({action for statement in statements for action in statement.actions}):
        service, _, name = action.partition(":")
        if name.endswith("*") or action in WITHOUT_CALL or service == "kafka-cluster":
            continue
        assert action not in NOT_ACTIONS
        if service not in calls:
            calls[service] = calls_of(CLIENTS.get(service, service))
        assert name in calls[service], action


def calls_of(service: str) -> set[str]:
    try:
        client = boto3.client(service, region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x")  # noqa: S106
    except UnknownServiceError:
        return set()
    return set(client.meta.service_model.operation_names)
