"""Registration of the model with which an environment was first deployed."""

from __future__ import annotations

from typing import Final

from adapters.aws.clients import aws_client
from adapters.aws.object_keys import FIRST_EXECUTION, model_key
from adapters.aws.s3 import Bucket
from adapters.aws.sagemaker_registry import Registration, SageMakerRegistry
from adapters.model_registry.model_folder import unpack_model
from cardwatch.registry import CHALLENGER

MODEL_KEY: Final = model_key(FIRST_EXECUTION)


def register_first_champion(packed: bytes, *, group: str, bucket: str, image: str, region: str) -> str | None:
    """Register the model that the endpoint serves as the first version, approved, and return its number.

    Returns None and does nothing if the registry has a version already.
    """
    registry = SageMakerRegistry(group, client=aws_client("sagemaker", region=region))
    if registry.alias(CHALLENGER) is not None:
        return None
    version, files = unpack_model(packed)
    registration = Registration(execution=FIRST_EXECUTION, files=files, tags=version.tags, image=image, approved=True)
    storage = Bucket(bucket, client=aws_client("s3", region=region, read_seconds=60))
    return registry.register(storage, registration).version.version
