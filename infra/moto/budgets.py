"""AWS Budgets: tags of budgets, and the subscribers of their notifications."""

from __future__ import annotations

import json

from moto.budgets.responses import BudgetsResponse

from infra.moto.patching import patch, tags_of

_create_budget = BudgetsResponse.create_budget


@patch("budgets", "CreateBudget with tags", BudgetsResponse)
def create_budget(response: BudgetsResponse) -> str:
    """moto does not store the tags of a new budget."""
    body = _create_budget(response)
    name = response._get_param("Budget")["BudgetName"]
    tags_of(response.backend)[name] = response._get_param("ResourceTags", [])
    return body


@patch("budgets", "ListTagsForResource", BudgetsResponse)
def list_tags_for_resource(response: BudgetsResponse) -> str:
    """moto lacks this call. Terraform uses it to read each budget."""
    name = response._get_param("ResourceARN").rsplit("/", 1)[-1]
    return json.dumps({"ResourceTags": tags_of(response.backend).get(name, [])})


@patch("budgets", "DescribeSubscribersForNotification", BudgetsResponse)
def describe_subscribers_for_notification(response: BudgetsResponse) -> str:
    """moto stores the subscribers but lacks this call. Terraform uses it to read the notifications of a budget."""
    budget = response.backend.budgets[response._get_param("AccountId")][response._get_param("BudgetName")]
    details = response._get_param("Notification")
    found = [each.subscribers for each in budget.notifications if each.details == details]
    return json.dumps({"Subscribers": found[0] if found else []})
