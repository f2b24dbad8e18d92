"""Lambda function `model`: `pipelines.sagemaker.handler.handle`. Its event is an action, see `actions`."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.aws.s3 import Bucket
from adapters.aws.sagemaker_endpoint import Endpoint
from adapters.aws.sagemaker_registry import SageMakerRegistry
from adapters.runtime.jobs import required
from adapters.runtime.logs import set_up_logging
from adapters.runtime.settings import read_settings
from cardwatch.errors import Misconfigured
from pipelines.sagemaker.actions import Action, ActionHandler


def handle(event: object, _context: object = None) -> dict[str, Any]:
    """Run the action that the state machine requests. The state machine handles errors by their class names."""
    settings = read_settings()
    set_up_logging(settings, "model")
    try:
        action: Action = msgspec.convert(event, Action)
    except msgspec.ValidationError as error:
        raise Misconfigured(f"the function model does not know what to do: {error}") from error
    actions = ActionHandler(
        Bucket(required(settings, "data_bucket")),
        SageMakerRegistry(required(settings, "model_package_group")),
        Endpoint(required(settings, "endpoint")),
    )
    return actions.run(action)
