"""The whole extension of moto. Importing this module registers all patches; `install` applies them."""

from __future__ import annotations

from typing import Final

from infra.moto import (  # noqa: F401 (importing them registers their patches)
    autoscaling,
    budgets,
    ec2,
    emr_serverless,
    events,
    kinesis,
    patching,
    s3,
    stepfunctions,
)
from infra.moto.lambda_ import functions  # noqa: F401
from infra.moto.lambda_.event_source_mappings import ShardReaders
from infra.moto.sagemaker import endpoints, jobs, registry  # noqa: F401

EXTENSIONS: Final = tuple(patching.PATCHES)
"""All patches. The table in docs/aws.md lists the same ones, read from the source by `infra.aws.proofs`."""


def install() -> None:
    """Apply all patches in this process, and start the readers of event source mappings."""
    patching.apply_patches()
    ShardReaders().start()
