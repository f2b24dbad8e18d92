"""Application Auto Scaling: tags of scalable targets."""

from __future__ import annotations

import json
from typing import Any

from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse

from infra.moto.patching import patch, tags_of

_register_scalable_target = ApplicationAutoScalingResponse.register_scalable_target


@patch("application-autoscaling", "RegisterScalableTarget with tags", ApplicationAutoScalingResponse)
def register_scalable_target(response: ApplicationAutoScalingResponse) -> str:
    """moto does not store the tags of a new scalable target."""
    body = _register_scalable_target(response)
    if tags := response._get_param("Tags"):
        backend: Any = response.applicationautoscaling_backend
        tags_of(backend)[json.loads(body)["ScalableTargetARN"]] = tags
    return body


@patch("application-autoscaling", "ListTagsForResource", ApplicationAutoScalingResponse)
def list_tags_for_resource(response: ApplicationAutoScalingResponse) -> str:
    """moto lacks this call. Terraform uses it to read each scalable target."""
    backend: Any = response.applicationautoscaling_backend
    return json.dumps({"Tags": tags_of(backend).get(response._get_param("ResourceARN"), {})})
