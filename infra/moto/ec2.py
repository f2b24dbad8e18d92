"""Amazon EC2: descriptions of security group rules."""

from __future__ import annotations

from typing import Any, Final

from moto.ec2.models.security_groups import SecurityGroupRule

from infra.moto.patching import patch

_create_rule: Final[Any] = SecurityGroupRule.__init__


@patch("ec2", "AuthorizeSecurityGroupEgress with prefix lists", SecurityGroupRule, "__init__")
def create_rule(rule: Any, *arguments: Any, **named: Any) -> None:
    """moto does not store the description of a rule for a prefix list."""
    _create_rule(rule, *arguments, **named)
    prefix_list = named.get("prefix_list_id") or (arguments[7] if len(arguments) > 7 else None) or {}
    rule._prefix_list_description = prefix_list.get("Description")


@patch("ec2", "DescribeSecurityGroupRules", SecurityGroupRule, "description", is_property=True)
def rule_description(rule: Any) -> str | None:
    """moto does not return the description of a rule for another group or a prefix list."""
    description = (
        rule.ip_range.get("Description") or rule.source_group.get("Description") or rule._prefix_list_description
    )
    return description if description is None else str(description)
