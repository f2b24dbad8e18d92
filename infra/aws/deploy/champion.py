"""The first champion: trained on a past, put where Terraform looks for it, and registered once there is a registry."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from adapters.aws.clients import aws_client
from adapters.aws.object_keys import FIRST_EXECUTION, model_key
from adapters.aws.s3 import Bucket
from adapters.aws.sagemaker_registry import Registration, SageMakerRegistry
from adapters.model_registry.model_folder import unpack_model
from adapters.runtime.settings import Settings, child_environment
from cardwatch.errors import CardwatchError
from cardwatch.registry import CHALLENGER
from infra.aws.acceptance.history import SimulatedHistory, store_archive

MODEL_KEY: Final = model_key(FIRST_EXECUTION)
TRAINING_NAME: Final = "cardwatch-first-champion"
"""A bucket and a registry for the training alone: those of the system do not exist yet."""


def train_first_champion(
    settings: Settings, history: SimulatedHistory, *, as_of: str, image: str, region: str
) -> bytes:
    """Train on what was known at the end of day `as_of`; gives the model's archive.

    It is the job that trains a first champion in an account, as a process. Raises `CardwatchError` with the end of what
    it said if it fails.
    """
    s3, sagemaker = aws_client("s3", region=region), aws_client("sagemaker", region=region)
    s3.create_bucket(Bucket=TRAINING_NAME, CreateBucketConfiguration={"LocationConstraint": region})
    sagemaker.create_model_package_group(ModelPackageGroupName=TRAINING_NAME)
    bucket = Bucket(TRAINING_NAME)
    store_archive(history, bucket)
    environment = child_environment(
        settings,
        CARDWATCH_DATA_BUCKET=TRAINING_NAME,
        CARDWATCH_MODEL_PACKAGE_GROUP=TRAINING_NAME,
        CARDWATCH_EXECUTION=FIRST_EXECUTION,
        CARDWATCH_AS_OF_DAY=as_of,
    )
    command = [sys.executable, "-m", "pipelines.sagemaker", "bootstrap", "--image", image]
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        raise CardwatchError(f"the first champion was not trained:\n{done.stdout[-2_000:]}")
    return bucket.get(MODEL_KEY)


def delete_training_resources(region: str) -> None:
    """Delete what the training has used."""
    s3, sagemaker = aws_client("s3", region=region), aws_client("sagemaker", region=region)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=TRAINING_NAME):
        for found in page.get("Contents", []):
            s3.delete_object(Bucket=TRAINING_NAME, Key=found["Key"])
    s3.delete_bucket(Bucket=TRAINING_NAME)
    packages = sagemaker.list_model_packages(ModelPackageGroupName=TRAINING_NAME)["ModelPackageSummaryList"]
    for package in packages:
        sagemaker.delete_model_package(ModelPackageName=package["ModelPackageArn"])
    sagemaker.delete_model_package_group(ModelPackageGroupName=TRAINING_NAME)


def register_first_champion(packed: bytes, *, group: str, bucket: str, image: str, region: str) -> str | None:
    """Make the model that the endpoint serves the registry's first version, approved; gives its number.

    None, and nothing is done, where there is a version already.
    """
    registry = SageMakerRegistry(group, client=aws_client("sagemaker", region=region))
    if registry.alias(CHALLENGER) is not None:
        return None
    version, files = unpack_model(packed)
    registration = Registration(execution=FIRST_EXECUTION, files=files, tags=version.tags, image=image, approved=True)
    storage = Bucket(bucket, client=aws_client("s3", region=region, read_seconds=60))
    return registry.register(storage, registration).version.version
