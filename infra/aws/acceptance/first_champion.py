"""Training of the first champion for the acceptance run, before the system's own bucket and registry exist."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from adapters.aws.clients import aws_client
from adapters.aws.object_keys import FIRST_EXECUTION
from adapters.aws.s3 import Bucket
from adapters.runtime.settings import Settings, child_environment
from cardwatch.errors import CardwatchError
from infra.aws.acceptance.history import SimulatedHistory, store_archive
from infra.aws.deploy.champion import MODEL_KEY
from infra.aws.deploy.cleanup import delete_model_packages

TRAINING_NAME: Final = "cardwatch-first-champion"
"""Name of the temporary bucket and of the temporary model package group."""

_OUTPUT_CHARACTERS: Final = 2_000


def train_first_champion(
    settings: Settings, history: SimulatedHistory, *, as_of: str, image: str, region: str
) -> bytes:
    """Train on what was known at the end of day `as_of` and return the model's archive.

    Runs the job that trains a first champion in an account, as a local process. Raises `CardwatchError` with the end of
    its output if it fails.
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
    completed = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if completed.returncode != 0:
        raise CardwatchError(f"the first champion was not trained:\n{completed.stdout[-_OUTPUT_CHARACTERS:]}")
    return bucket.get(MODEL_KEY)


def delete_training_resources(region: str) -> None:
    """Delete the bucket and the model package group that the training has used."""
    s3, sagemaker = aws_client("s3", region=region), aws_client("sagemaker", region=region)
    for stored in Bucket(TRAINING_NAME, client=s3).objects(""):
        s3.delete_object(Bucket=TRAINING_NAME, Key=stored.key)
    s3.delete_bucket(Bucket=TRAINING_NAME)
    delete_model_packages(TRAINING_NAME, region=region)
    sagemaker.delete_model_package_group(ModelPackageGroupName=TRAINING_NAME)
