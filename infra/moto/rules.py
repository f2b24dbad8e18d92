"""EventBridge: rules that start state machines."""

from __future__ import annotations

import copy
import json
import uuid
from typing import Any, Final

from moto.core.utils import iso_8601_datetime_without_milliseconds, utcfromtimestamp
from moto.events.models import Rule
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from infra.moto.added import added

_send_to_targets: Final = Rule.send_to_targets
_UNTOLD: Final = ("ingestion-time",)


@added("events", "PutEvents with state machines as targets", Rule)
def send_to_targets(rule: Rule, original_event: Any, transform_input: bool = True) -> None:
    """moto's PutEvents fails if a rule's target is a state machine. Drift starts a retraining in this way."""
    machines = [target for target in rule.targets if target["Arn"].split(":")[2] == "states"]
    if machines and rule.state == "ENABLED" and rule.event_pattern.matches_event(original_event):
        for target in machines:
            _start(target, original_event)
    others = copy.copy(rule)
    others.targets = [target for target in rule.targets if target not in machines]
    _send_to_targets(others, original_event, transform_input)


def _start(target: dict[str, Any], event: dict[str, Any]) -> None:
    region, account = target["Arn"].split(":")[3:5]
    time = iso_8601_datetime_without_milliseconds(utcfromtimestamp(int(event["time"])))
    told = {**{name: value for name, value in event.items() if name not in _UNTOLD}, "time": time}
    given = target["Input"] if target.get("Input") else json.dumps(_at(told, target.get("InputPath") or "$"))
    machines: Any = stepfunctions_parser_backends[account][region]
    machines.start_execution(target["Arn"], name=str(uuid.uuid4()), execution_input=given)


def _at(event: Any, path: str) -> Any:
    """The part of an event that a path like `$.detail` names."""
    for name in path.removeprefix("$").split("."):
        event = event[name] if name else event
    return event
