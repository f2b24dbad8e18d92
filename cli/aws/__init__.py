"""`cardwatch aws`: the system in an AWS account, or on moto on this machine."""

from __future__ import annotations

import click

from cli.aws.account import check, deploy, destroy, plan
from cli.aws.documents import cost, document
from cli.aws.local import local
from cli.aws.model import model
from cli.aws.traffic import redrive, send, smoke


@click.group()
def aws() -> None:
    """Deploy the system on AWS, estimate its cost, and send traffic to it; or run it on moto on this machine.

    ENV is a folder of infra/terraform/envs: sandbox, small enough to run for a day, or production. Credentials are
    those of the AWS command line; the region is that of the environment.
    """


for command in (check, cost, plan, deploy, model, smoke, send, redrive, destroy, local, document):
    aws.add_command(command)
