"""The local AWS as a process of a supervisor, and where its clients find it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from adapters.runtime.probe import probe
from adapters.runtime.settings import LOOPBACK, Settings, child_environment
from infra.local_stack.supervisor import ProcessSpec

REGION: Final = "eu-central-1"
CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
}
"""What it takes from everybody: it asks nobody who they are."""


def part(port: int, folder: Path, *arguments: str) -> ProcessSpec:
    """The server at `port`, with the disks of its containers in `folder`.

    Further `arguments` are those of `python -m infra.moto`.
    """
    return ProcessSpec(
        name="moto",
        command=[sys.executable, "-m", "infra.moto", "--port", str(port), *arguments],
        environment=child_environment(Settings(), TMPDIR=str(folder), **CREDENTIALS),
        ready=lambda: probe(f"{url(port)}/moto-api/") is None,
    )


def url(port: int) -> str:
    """Where it is found: what AWS_ENDPOINT_URL has to say."""
    return f"http://{LOOPBACK}:{port}"
