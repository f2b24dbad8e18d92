"""`cardwatch aws check`, `plan`, `deploy` and `destroy`: an environment in a real account."""

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
from cli.aws.documents import tell_cost
from cli.aws.traffic import ready_terraform, smoke_test
from infra.aws.deploy.champion import register_first_champion
from infra.aws.deploy.cleanup import delete_model_packages, delete_models
from infra.aws.deploy.environments import BOOTSTRAP, TERRAFORM, Environment, LocalFiles
from infra.aws.deploy.preflight import IMAGE, MODEL, STATE_BUCKET, CheckResult, Preflight
from infra.aws.deploy.terraform import Terraform

_TAG = click.option("--image-tag", help="The tag under which the images were pushed.  [default: that of last time]")
_YES = click.option("--yes", is_flag=True, help="Do not ask.")


@click.command()
@click.argument("env")
@_TAG
def check(env: str, image_tag: str | None) -> None:
    """Say what is there and what is missing before ENV can be deployed; exit status 1 if something is."""
    missing = [finding for finding in _told(_Target(env, image_tag).preflight.findings()) if not finding.ok]
    if missing:
        raise CardwatchError(f"{len(missing)} things are missing for {env}")


@click.command()
@click.argument("env")
@_TAG
def plan(env: str, image_tag: str | None) -> None:
    """Show what Terraform would change in ENV, and change nothing."""
    target = _Target(env, image_tag)
    changes = target.terraform().plan(target.variables())
    click.echo("there is something to change" if changes else "there is nothing to change")


@click.command()
@click.argument("env")
@_TAG
@_YES
def deploy(env: str, image_tag: str | None, *, yes: bool) -> None:
    """Bring ENV to what its files say: check, buckets and repositories, plan and price, apply, smoke test.

    It ends where something is missing that only you can give, images or model, and says what; run it again then.
    """
    target = _Target(env, image_tag)
    later = (STATE_BUCKET, IMAGE, MODEL)  # what the steps below make, or ask for
    _require(finding for finding in target.preflight.findings() if not finding.what.startswith(later))
    target.bootstrap()
    _require([*target.preflight.images(), target.preflight.model()])
    terraform, variables = target.terraform(), target.variables()
    if terraform.plan(variables):
        tell_cost(target.environment, 0.0)
        _confirm(f"Apply this to {env}?", yes=yes)
        terraform.apply(variables)
    target.register_first_champion(terraform.outputs())
    smoke_test(target.environment, target.settings)


@click.command()
@click.argument("env")
@_TAG
@_YES
def destroy(env: str, image_tag: str | None, *, yes: bool) -> None:
    """Remove ENV with its data; state bucket, images and first model stay, for the next time.

    With deletion_protection, as in production, Terraform refuses to remove card states and data: turn it off first.
    """
    target = _Target(env, image_tag)
    _confirm(f"Remove {target.environment.prefix} with all its data?", yes=yes)
    terraform, region = target.terraform(), target.environment.region
    # What retraining has made: a registry with versions cannot be removed, and Terraform does not know of the others.
    if group := terraform.outputs().get("model_package_group"):
        delete_model_packages(str(group), region=region)
    terraform.destroy(target.variables())
    delete_models(target.environment.prefix, region=region)


class _Target:
    """An environment in the account whose credentials this machine has."""

    def __init__(self, name: str, image_tag: str | None) -> None:
        self.settings = read_settings()
        self.environment = Environment(name)
        self._files = LocalFiles(self.environment, self.settings.home)
        self._tag = self._files.image_tag(image_tag)
        self._account = Account(self.environment.region)
        version = Terraform(self.settings, TERRAFORM).version
        self.preflight = Preflight(self.environment, self._account, version, self._tag)

    def variables(self) -> Path:
        """What Terraform is told."""
        return self._files.variables(self._account.identity().account, self._tag)

    def terraform(self) -> Terraform:
        """The system's Terraform, ready for this environment's state."""
        return ready_terraform(self.environment, self.settings, self._account)

    def register_first_champion(self, outputs: Mapping[str, Any]) -> None:
        """Register the model that the endpoint was made with, if the registry is empty: the monitor asks for it."""
        region = self.environment.region
        place, key = parse_object_url(self.environment.model_url(self._account.identity().account))
        packed = Bucket(place, client=aws_client("s3", region=region, read_seconds=60)).get(key)
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
        """Make what must exist before: buckets for state and first model, repositories for images; if they do not.

        Its own state is on the machine that made it, so on another one it is left as it is.
        """
        if self._account.has_bucket(self.environment.state_bucket(self._account.identity().account)):
            return
        terraform = Terraform(self.settings, BOOTSTRAP, report=click.echo, name=f"{self.environment.name}-bootstrap")
        terraform.init(self._files.bootstrap_backend())
        terraform.apply(self._files.bootstrap_variables())


def _require(findings: Iterable[CheckResult]) -> None:
    missing = [finding for finding in _told(findings) if not finding.ok]
    if missing:
        raise Misconfigured(
            f"nothing was applied beyond this: {', '.join(finding.what for finding in missing)} missing"
        )


def _told(findings: Iterable[CheckResult]) -> list[CheckResult]:
    """Each line as it becomes known."""
    told = []
    for finding in findings:
        click.echo(f"{'ok     ' if finding.ok else 'missing'}  {finding.what}: {finding.says}")
        if finding.todo:
            click.echo(f"         -> {finding.todo}")
        told.append(finding)
    return told


def _confirm(question: str, *, yes: bool) -> None:
    if not yes:
        click.confirm(question, abort=True)
