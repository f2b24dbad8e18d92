"""Amazon EventBridge: rules that start state machines."""

from __future__ import annotations

import copy
import json
import uuid
from typing import Any, Final

from moto.core.utils import iso_8601_datetime_without_milliseconds, utcfromtimestamp
from moto.events.models import Rule
from moto.stepfunctions.parser.asl.utils.json_path import extract_json
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from infra.moto.patching import patch

_send_to_targets: Final = Rule.send_to_targets
_INTERNAL_FIELDS: Final = ("ingestion-time",)
"""Fields of moto's events that AWS does not pass to a target."""


@patch("events", "PutEvents with state machines as targets", Rule)
def send_to_targets(rule: Rule, original_event: Any, transform_input: bool = True) -> None:
    """moto's PutEvents fails if the target of a rule is a state machine. Drift starts a retraining by such a rule."""
    machines = [target for target in rule.targets if target["Arn"].split(":")[2] == "states"]
    if machines and rule.state == "ENABLED" and rule.event_pattern.matches_event(original_event):
        for target in machines:
            _start_execution(target, original_event)
    other_targets = copy.copy(rule)
    other_targets.targets = [target for target in rule.targets if target not in machines]
    _send_to_targets(other_targets, original_event, transform_input)


def _start_execution(target: dict[str, Any], event: dict[str, Any]) -> None:
    region, account = target["Arn"].split(":")[3:5]
    time = iso_8601_datetime_without_milliseconds(utcfromtimestamp(int(event["time"])))
    sent = {**{name: value for name, value in event.items() if name not in _INTERNAL_FIELDS}, "time": time}
    execution_input = target.get("Input") or json.dumps(extract_json(target.get("InputPath") or "$", sent))
    machines: Any = stepfunctions_parser_backends[account][region]
    machines.start_execution(target["Arn"], name=str(uuid.uuid4()), execution_input=execution_input)
