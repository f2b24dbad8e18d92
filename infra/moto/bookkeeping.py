"""What Terraform asks of services about resources that it has made, and moto does not answer."""

from __future__ import annotations

import json
from typing import Any

from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.budgets.responses import BudgetsResponse
from moto.core.responses import ActionResult
from moto.stepfunctions.responses import StepFunctionResponse

from infra.moto.added import added

_register_scalable_target = ApplicationAutoScalingResponse.register_scalable_target
_create_budget = BudgetsResponse.create_budget


@added("application-autoscaling", "RegisterScalableTarget with tags", ApplicationAutoScalingResponse)
def register_scalable_target(response: ApplicationAutoScalingResponse) -> str:
    """moto forgets the tags that a scalable target is registered with."""
    answer = _register_scalable_target(response)
    if tags := response._get_param("Tags"):
        backend: Any = response.applicationautoscaling_backend
        _tags_of(backend)[json.loads(answer)["ScalableTargetARN"]] = tags
    return answer


@added("application-autoscaling", "ListTagsForResource", ApplicationAutoScalingResponse, "list_tags_for_resource")
def list_autoscaling_tags(response: ApplicationAutoScalingResponse) -> str:
    """moto does not have it, and Terraform asks it of each scalable target."""
    backend: Any = response.applicationautoscaling_backend
    return json.dumps({"Tags": _tags_of(backend).get(response._get_param("ResourceARN"), {})})


@added("budgets", "CreateBudget with tags", BudgetsResponse)
def create_budget(response: BudgetsResponse) -> str:
    """moto forgets the tags that a budget is created with."""
    answer = _create_budget(response)
    name = response._get_param("Budget")["BudgetName"]
    _tags_of(response.backend)[name] = response._get_param("ResourceTags", [])
    return answer


@added("budgets", "ListTagsForResource", BudgetsResponse, "list_tags_for_resource")
def list_budget_tags(response: BudgetsResponse) -> str:
    """moto does not have it, and Terraform asks it of each budget."""
    name = response._get_param("ResourceARN").rsplit("/", 1)[-1]
    return json.dumps({"ResourceTags": _tags_of(response.backend).get(name, [])})


@added("budgets", "DescribeSubscribersForNotification", BudgetsResponse, "describe_subscribers_for_notification")
def describe_subscribers(response: BudgetsResponse) -> str:
    """moto keeps them and does not tell them; Terraform reads back whom a budget warns."""
    budget = response.backend.budgets[response._get_param("AccountId")][response._get_param("BudgetName")]
    wanted = response._get_param("Notification")
    found = [each.subscribers for each in budget.notifications if each.details == wanted]
    return json.dumps({"Subscribers": found[0] if found else []})


@added("states", "ListStateMachineVersions", StepFunctionResponse)
def list_state_machine_versions(response: StepFunctionResponse) -> ActionResult:
    """moto does not have it, and Terraform asks it of each state machine."""
    machine = response.stepfunction_backend.describe_state_machine(response._get_param("stateMachineArn"))
    versions = sorted(machine.versions.values(), key=lambda version: version.version, reverse=True)
    told = [{"stateMachineVersionArn": each.arn, "creationDate": each.creation_date} for each in versions]
    return ActionResult({"stateMachineVersions": told})


def _tags_of(backend: Any) -> dict[str, Any]:
    """Tags by what they are of, kept with the backend that does not know them."""
    tags: dict[str, Any] = backend.__dict__.setdefault("cardwatch_tags", {})
    return tags
