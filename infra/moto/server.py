"""The local AWS as a supervised process, and the URL and credentials of its clients."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from adapters.runtime.ports import LOOPBACK
from adapters.runtime.probe import probe
from adapters.runtime.settings import Settings, child_environment
from infra.local_stack.supervisor import ProcessSpec

REGION: Final = "eu-central-1"
CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
}
"""Environment variables of a client. The local AWS accepts any credentials."""


def process_spec(port: int, folder: Path, *arguments: str) -> ProcessSpec:
    """Return the server process at `port`, with the disks of its containers in `folder`.

    `arguments` are further ones of `python -m infra.moto`.
    """
    return ProcessSpec(
        name="moto",
        command=[sys.executable, "-m", "infra.moto", "--port", str(port), *arguments],
        environment=child_environment(Settings(), TMPDIR=str(folder), **CREDENTIALS),
        ready=lambda: probe(f"{url(port)}/moto-api/") is None,
    )


def url(port: int) -> str:
    """Return the URL of the server, which clients read from AWS_ENDPOINT_URL."""
    return f"http://{LOOPBACK}:{port}"
