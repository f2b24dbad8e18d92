"""`cardwatch aws model`: the first champion for an environment, from a registry of ours."""

from __future__ import annotations

from contextlib import closing
from typing import Final
from urllib.parse import urlsplit

import click
from msgspec import structs

from adapters.aws.account import Account
from adapters.aws.clients import aws_client
from adapters.aws.s3 import Bucket
from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.model_registry.model_folder import pack_model
from adapters.runtime.settings import read_settings
from cardwatch.errors import Misconfigured
from infra.aws.deploy.environments import Environment

FIRST: Final = "1"


@click.command()
@click.argument("env")
def model(env: str) -> None:
    """Put the champion of the registry at CARDWATCH_MLFLOW_URL where ENV looks for its first model.

    `make up` trains one and says where its registry is. Only the first: later champions come from retraining.
    """
    environment, settings = Environment(env), read_settings()
    if not settings.mlflow_url:
        raise Misconfigured("CARDWATCH_MLFLOW_URL is empty: name the registry that has the champion, see make up")
    url = environment.model_url(Account(environment.region).identity().account)
    place = urlsplit(url)
    with closing(MlflowRegistry(settings.mlflow_url)) as registry:
        champion = registry.champion()
        # What it says of itself is what decisions will say of it: the number that the registry there will give it.
        packed = pack_model(structs.replace(champion, version=FIRST), registry.files(champion))
    bucket = Bucket(place.netloc, client=aws_client("s3", region=environment.region, read_seconds=60))
    bucket.put(place.path.lstrip("/"), packed)
    click.echo(f"version {champion.version}, {len(packed):,} bytes, is at {url}")
