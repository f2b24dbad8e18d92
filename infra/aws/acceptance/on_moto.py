"""`cardwatch aws local`: the acceptance run against moto on this machine. Nothing of it persists."""

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
from infra.aws.deploy.terraform import Terraform
from infra.local_stack.supervisor import Supervisor
from infra.moto.server import CREDENTIALS, process_spec, url
from infra.reporting import Report

MAX_ATTEMPTS: Final = "3"
"""Attempts of boto3 for each call: a call that moto does not support fails every time."""

_LOG_LINES: Final = 20


def run(settings: Settings, *, report: Report) -> None:
    """Deploy the system on moto, use it and destroy it; `report` receives the output line by line.

    Raises `Misconfigured` if Terraform is not installed, and `CardwatchError` if the run fails.
    """
    with TemporaryDirectory(prefix="cardwatch-aws-") as folder:
        home = Path(folder)
        own = structs.replace(settings, home=home)
        report(f"Terraform {Terraform(own, home).version()}; moto with our extension; files in {home}")
        [port] = free_ports(1)
        with Supervisor(home) as supervisor:
            supervisor.start(process_spec(port, home))
            status = _run_acceptance(own, port, report)
            if status != 0:
                tail = supervisor.log("moto").read_text(errors="replace").splitlines()[-_LOG_LINES:]
                raise CardwatchError("the acceptance run failed; the end of moto's log:\n" + "\n".join(tail))


def _run_acceptance(settings: Settings, port: int, report: Report) -> int:
    """Run in a process whose environment has the local AWS and no other; return its exit status."""
    inherited = {name: value for name, value in child_environment(settings).items() if not name.startswith("AWS_")}
    environment = {
        **inherited,
        **CREDENTIALS,
        "AWS_MAX_ATTEMPTS": MAX_ATTEMPTS,
        "AWS_ENDPOINT_URL": url(port),
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, "-m", "infra.aws.acceptance.acceptance_run"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None  # noqa: S101 (it is a pipe)
        try:
            for line in process.stdout:
                report(line.rstrip())
        except BaseException:
            process.terminate()
            raise
    return process.returncode
