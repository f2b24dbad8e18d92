"""Amazon EMR Serverless: the type, architecture and initial state of an application."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.emrserverless.responses import EMRServerlessResponse

from infra.moto.patching import patch

_create_application = EMRServerlessResponse.create_application


@patch("emr-serverless", "CreateApplication", EMRServerlessResponse)
def create_application(response: EMRServerlessResponse) -> ActionResult:
    """moto accepts only the type SPARK (Terraform sends spark), drops the architecture, and starts the application."""
    response.params["type"] = response._get_param("type").upper()
    action_result = _create_application(response)
    created: Any = action_result.result
    application: Any = response.emrserverless_backend.applications[created["applicationId"]]
    application.state, application.architecture = "CREATED", response._get_param("architecture", "X86_64")
    return action_result
