"""`cardwatch aws model`: upload of the first champion of an environment from an MLflow registry."""

from __future__ import annotations

from contextlib import closing
from typing import Final

import click
from msgspec import structs

from adapters.aws.account import Account
from adapters.aws.clients import aws_client
from adapters.aws.object_keys import parse_object_url
from adapters.aws.s3 import Bucket
from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.model_registry.model_folder import pack_model
from adapters.runtime.settings import read_settings
from cardwatch.errors import Misconfigured
from infra.aws.environments import Environment

FIRST_VERSION: Final = "1"
"""Number that the registry on AWS will give to the model; decisions name it."""


@click.command()
@click.argument("env")
def model(env: str) -> None:
    """Upload the champion of the registry at CARDWATCH_MLFLOW_URL as ENV's first model.

    `make up` trains a champion and prints the address of its registry. Later champions of ENV come from retraining.
    """
    environment, settings = Environment(env), read_settings()
    if not settings.mlflow_url:
        raise Misconfigured("CARDWATCH_MLFLOW_URL is empty: name the registry that has the champion, see make up")
    url = environment.model_url(Account(environment.region).identity().account)
    bucket, key = parse_object_url(url)
    with closing(MlflowRegistry(settings.mlflow_url)) as registry:
        champion = registry.champion()
        packed = pack_model(structs.replace(champion, version=FIRST_VERSION), registry.files(champion))
    Bucket(bucket, client=aws_client("s3", region=environment.region, read_seconds=60)).put(key, packed)
    click.echo(f"version {champion.version} is uploaded to {url}, {len(packed):,} bytes")
