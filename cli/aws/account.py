"""`cardwatch aws check`, `plan`, `deploy` and `destroy`: an environment in an AWS account."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from adapters.aws.account import Account
from adapters.aws.clients import aws_client
from adapters.aws.object_keys import parse_object_url
from adapters.aws.s3 import Bucket
from adapters.runtime.settings import read_settings
from cardwatch.errors import CardwatchError, Misconfigured
from cli.aws.documents import print_cost
from cli.aws.traffic import initialized_terraform, smoke_test
from infra.aws.deploy.champion import register_first_champion
from infra.aws.deploy.cleanup import delete_model_packages, delete_models
from infra.aws.deploy.preflight import IMAGE, MODEL, STATE_BUCKET, CheckResult, Preflight
from infra.aws.deploy.terraform import Terraform
from infra.aws.environments import BOOTSTRAP, TERRAFORM, Environment, LocalFiles

_TAG = click.option("--image-tag", help="Tag of the pushed images.  [default: that of the last deployment]")
_YES = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


@click.command()
@click.argument("env")
@_TAG
def check(env: str, image_tag: str | None) -> None:
    """Check what ENV needs before it can be deployed; exit with status 1 if something is missing."""
    if missing := _print_missing(_Target(env, image_tag).preflight.results()):
        raise CardwatchError(f"{len(missing)} things are missing for {env}")


@click.command()
@click.argument("env")
@_TAG
def plan(env: str, image_tag: str | None) -> None:
    """Show what Terraform would change in ENV, without changing it."""
    target = _Target(env, image_tag)
    changes = target.terraform().plan(target.variables())
    click.echo("there are changes" if changes else "there are no changes")


@click.command()
@click.argument("env")
@_TAG
@_YES
def deploy(env: str, image_tag: str | None, *, yes: bool) -> None:
    """Deploy ENV: check the account, create buckets and repositories, plan, show the cost, apply, run the smoke test.

    The command stops if the images or the first model are missing, and says which. Run it again when you have pushed or
    uploaded them.
    """
    target = _Target(env, image_tag)
    later = (STATE_BUCKET, IMAGE, MODEL)
    _require(result for result in target.preflight.results() if not result.name.startswith(later))
    target.bootstrap()
    _require([*target.preflight.images(), target.preflight.model()])
    terraform, variables = target.terraform(), target.variables()
    if terraform.plan(variables):
        print_cost(target.environment, 0.0)
        if not yes:
            click.confirm(f"Apply this to {env}?", abort=True)
        terraform.apply(variables)
    target.register_first_champion(terraform.outputs())
    smoke_test(target.environment, target.settings)


@click.command()
@click.argument("env")
@_TAG
@_YES
def destroy(env: str, image_tag: str | None, *, yes: bool) -> None:
    """Destroy ENV with its data. The state bucket, the images and the first model are kept for the next deployment.

    With deletion_protection, as in production, Terraform refuses to destroy card states and data: turn it off first.
    """
    target = _Target(env, image_tag)
    if not yes:
        click.confirm(f"Destroy {target.environment.prefix} with all its data?", abort=True)
    terraform, region = target.terraform(), target.environment.region
    if group := terraform.outputs().get("model_package_group"):
        delete_model_packages(str(group), region=region)
    terraform.destroy(target.variables())
    delete_models(target.environment.prefix, region=region)


class _Target:
    """An environment in the account of this machine's credentials."""

    def __init__(self, name: str, image_tag: str | None) -> None:
        self.settings = read_settings()
        self.environment = Environment(name)
        self._files = LocalFiles(self.environment, self.settings.home)
        self._tag = self._files.image_tag(image_tag)
        self._account = Account(self.environment.region)
        version = Terraform(self.settings, TERRAFORM).version
        self.preflight = Preflight(self.environment, self._account, version, self._tag)

    def variables(self) -> Path:
        """Write Terraform's variables and return their file."""
        return self._files.variables(self._account.identity().account, self._tag)

    def terraform(self) -> Terraform:
        """Return the system's Terraform, initialized for this environment's state."""
        return initialized_terraform(self.environment, self.settings, self._account)

    def register_first_champion(self, outputs: Mapping[str, Any]) -> None:
        """Register the endpoint's first model if the registry is empty, because the monitor needs a version."""
        region = self.environment.region
        bucket, key = parse_object_url(self.environment.model_url(self._account.identity().account))
        packed = Bucket(bucket, client=aws_client("s3", region=region, read_seconds=60)).get(key)
        version = register_first_champion(
            packed,
            group=str(outputs["model_package_group"]),
            bucket=str(outputs["data_bucket"]),
            image=str(outputs["scoring_image"]),
            region=region,
        )
        if version is not None:
            click.echo(f"the first champion is registered as version {version}")

    def bootstrap(self) -> None:
        """Create the buckets for state and first model and the image repositories, unless the state bucket exists.

        The bootstrap's own state is local, so other machines leave its resources unchanged.
        """
        if self._account.has_bucket(self.environment.state_bucket(self._account.identity().account)):
            return
        terraform = Terraform(self.settings, BOOTSTRAP, report=click.echo, name=f"{self.environment.name}-bootstrap")
        terraform.init(self._files.bootstrap_backend())
        terraform.apply(self._files.bootstrap_variables())


def _require(results: Iterable[CheckResult]) -> None:
    if missing := _print_missing(results):
        raise Misconfigured(f"the deployment stops here, missing: {', '.join(result.name for result in missing)}")


def _print_missing(results: Iterable[CheckResult]) -> list[CheckResult]:
    """Print each result as it becomes available, and return those that failed."""
    missing = []
    for result in results:
        click.echo(f"{'ok     ' if result.ok else 'missing'}  {result.name}: {result.found}")
        if not result.ok:
            click.echo(f"         -> {result.remedy}")
            missing.append(result)
    return missing
