"""Fixtures that the tests of the batch jobs on AWS share. They are built once, because they take most of a minute."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest

from models.training import TrainingSettings
from pipelines.sagemaker.jobs import bootstrap
from pipelines.steps import fitting
from tests.integration.aws_jobs.bank import (
    AS_JUDGED,
    GROUP,
    HISTORY_DAYS,
    IMAGE,
    REGION,
    WATCHED_DAYS,
    Bank,
    Stand,
    new_bucket,
)


@pytest.fixture(scope="package")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="package")
def aws(dynamodb_endpoint: str, patch: pytest.MonkeyPatch) -> str:
    patch.setenv("AWS_ENDPOINT_URL", dynamodb_endpoint)
    patch.setenv("AWS_DEFAULT_REGION", REGION)
    patch.setattr(fitting.fit_candidate, "__defaults__", (TrainingSettings(trees=15, threads=1), fitting.POLICY))
    sagemaker = boto3.client("sagemaker")
    sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
    sagemaker.close()
    return dynamodb_endpoint


@pytest.fixture(scope="package")
def history(aws: str, tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """Days that the rules decided and the job archived, one by one."""
    bank = Bank(new_bucket("history"), tmp_path_factory.mktemp("history"))
    for _ in range(HISTORY_DAYS):
        bank.archive(bank.live().day)
    return bank


@pytest.fixture(scope="package")
def stand(history: Bank) -> Stand:
    """The first champion, behind the endpoint for a few days."""
    first = bootstrap(history.run("first", AS_JUDGED), None, image=IMAGE, holdout_days=3)
    history.serve(first)
    for _ in range(WATCHED_DAYS):
        history.archive(history.live().day)
    return Stand(history, first)
