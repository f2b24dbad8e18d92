"""`cardwatch aws`: the same system in an AWS account, or on moto on this machine."""

from __future__ import annotations

import click

from cli.aws.account import check, deploy, destroy, plan
from cli.aws.documents import cost, document
from cli.aws.local import local
from cli.aws.model import model
from cli.aws.traffic import redrive, send, smoke


@click.group()
def aws() -> None:
    """The same system on AWS: what it takes and costs, its deployment, traffic for it, and all of that on moto.

    ENV is a folder of infra/terraform/envs: sandbox, small enough to be left on for a day, or production. Credentials
    are those of the AWS command line; the region is the environment's.
    """


for command in (check, cost, plan, deploy, model, smoke, send, redrive, destroy, local, document):
    aws.add_command(command)
