"""`cardwatch aws local`: the local AWS, and the story told in it. Nothing of it persists."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from msgspec import structs

from adapters.runtime.ports import free_ports
from adapters.runtime.settings import Settings, child_environment
from cardwatch.errors import CardwatchError
from infra.aws.deploy.terraform import Report, Terraform
from infra.local_stack.supervisor import Supervisor
from infra.moto.server import CREDENTIALS, process_spec, url

ATTEMPTS: Final = {"AWS_MAX_ATTEMPTS": "3"}
"""A call that a stand-in does not know is not known a minute later either."""

_LOG_LINES: Final = 20


def run(settings: Settings, *, report: Report) -> None:
    """Apply everything on moto, use it, destroy it; `report` gets line by line what happens.

    Raises `Misconfigured` if there is no Terraform, and `CardwatchError` if something does not go as it should.
    """
    with TemporaryDirectory(prefix="cardwatch-aws-") as folder:
        home = Path(folder)
        own = structs.replace(settings, home=home)
        report(f"Terraform {Terraform(own, home).version()}; moto with our extension; everything in {home}")
        [port] = free_ports(1)
        with Supervisor(home) as supervisor:
            supervisor.start(process_spec(port, home))
            status = _tell(own, port, report)
            if status != 0:
                tail = supervisor.log("moto").read_text(errors="replace").splitlines()[-_LOG_LINES:]
                raise CardwatchError("the story did not end well; the end of moto's log:\n" + "\n".join(tail))


def _tell(settings: Settings, port: int, report: Report) -> int:
    """Run the story in a process that finds the local AWS and no other; gives its exit status."""
    mine = {name: value for name, value in child_environment(settings).items() if not name.startswith("AWS_")}
    environment = {**mine, **CREDENTIALS, **ATTEMPTS, "AWS_ENDPOINT_URL": url(port), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "infra.aws.acceptance.acceptance_run"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None  # noqa: S101 (it was asked for)
        try:
            for line in process.stdout:
                report(line.rstrip())
        except BaseException:
            process.terminate()
            raise
    return process.returncode
