"""`cardwatch aws local`: the acceptance run on moto."""

from __future__ import annotations

import click

from adapters.runtime.settings import read_settings


@click.command()
def local() -> None:
    """Deploy the system on moto, run it end to end, and destroy it. No account and no Docker are needed.

    Terraform and its AWS provider are required. docs/aws.md says what this run proves and what it does not.
    """
    from infra.aws.acceptance.on_moto import run  # noqa: PLC0415 (moto takes seconds to import)

    run(read_settings(), report=click.echo)
