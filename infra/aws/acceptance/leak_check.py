"""Leak check: resources of an environment that remain after it was destroyed."""

from __future__ import annotations

import re
from contextlib import closing
from typing import Any, Final

from adapters.aws.clients import aws_client, translated_errors

LISTINGS: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    ("apigateway", "get_api_keys", {}),
    ("apigateway", "get_rest_apis", {}),
    ("apigateway", "get_usage_plans", {}),
    ("cloudwatch", "describe_alarms", {}),
    ("cloudwatch", "list_dashboards", {}),
    ("dynamodb", "list_tables", {}),
    ("ec2", "describe_flow_logs", {}),
    ("ec2", "describe_route_tables", {}),
    ("ec2", "describe_security_groups", {}),
    ("ec2", "describe_subnets", {}),
    ("ec2", "describe_vpc_endpoints", {}),
    ("ec2", "describe_vpcs", {}),
    ("ecr", "describe_repositories", {}),
    ("emr-serverless", "list_applications", {}),
    ("events", "list_event_buses", {}),
    ("events", "list_rules", {}),
    ("iam", "list_policies", {"Scope": "Local"}),
    ("iam", "list_roles", {}),
    ("kinesis", "list_streams", {}),
    ("kms", "list_aliases", {}),
    ("lambda", "list_event_source_mappings", {}),
    ("lambda", "list_functions", {}),
    ("logs", "describe_log_groups", {}),
    ("s3", "list_buckets", {}),
    ("sagemaker", "list_endpoint_configs", {}),
    ("sagemaker", "list_endpoints", {}),
    ("sagemaker", "list_model_package_groups", {}),
    ("sagemaker", "list_model_packages", {}),
    ("sagemaker", "list_models", {}),
    ("scheduler", "list_schedule_groups", {}),
    ("scheduler", "list_schedules", {}),
    ("sns", "list_topics", {}),
    ("sqs", "list_queues", {}),
    ("ssm", "describe_parameters", {}),
    ("stepfunctions", "list_state_machines", {}),
    ("wafv2", "list_web_acls", {"Scope": "REGIONAL"}),
)
"""Service, call and arguments for every type of resource. Resources without a name are found by their tags."""

_DELETED_STATES: Final = {"deleted", "deleting", "TERMINATED", "PendingDeletion"}
"""States of resources that AWS lists for a while after their deletion."""


def remaining_resources(prefix: str, *, region: str | None = None) -> list[str]:
    """Return the resources whose name, ARN or tag begins with `prefix`, as `service call: name`."""
    name = re.compile(rf"(?<![\w-]){re.escape(prefix)}[\w./-]*")
    return [
        f"{service} {call}: {found}"
        for service, call, arguments in LISTINGS
        for found in sorted(set(name.findall(_listing(service, call, arguments, region))))
    ]


def _listing(service: str, call: str, arguments: dict[str, Any], region: str | None) -> str:
    """Return the listed resources that are not deleted, as text."""
    with closing(aws_client(service, region=region)) as client, translated_errors(f"{service} {call}"):
        if client.can_paginate(call):
            pages = list(client.get_paginator(call).paginate(**arguments))
        else:
            pages = [getattr(client, call)(**arguments)]
    return str(_without_deleted(pages))


def _without_deleted(listed: Any) -> Any:
    """Return the listing without deleted resources."""
    if isinstance(listed, list):
        return [_without_deleted(each) for each in listed if not (isinstance(each, dict) and _is_deleted(each))]
    if isinstance(listed, dict):
        return {key: _without_deleted(value) for key, value in listed.items()}
    return listed


def _is_deleted(each: dict[str, Any]) -> bool:
    states = [each.get(key) for key in ("State", "state", "KeyState", "Status")]
    return any(isinstance(state, str) and state in _DELETED_STATES for state in states)
