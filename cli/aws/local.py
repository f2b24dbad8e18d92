"""`cardwatch aws local`: everything on moto, on this machine."""

from __future__ import annotations

import click

from adapters.runtime.settings import read_settings


@click.command()
def local() -> None:
    """Apply the same Terraform on moto, run the system there end to end, destroy it. No account, no Docker.

    It needs Terraform and its AWS provider. What this proves and what it does not: docs/aws.md.
    """
    from infra.aws.acceptance.on_moto import run  # noqa: PLC0415 (moto takes seconds, and no other command needs it)

    run(read_settings(), report=click.echo)
