"""The stack of `cardwatch up`: all processes start without an order, and those that exit are restarted."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import structs

from adapters.local_stack.network_faults import PROXY
from adapters.local_stack.process_tree import ProcessIdentity
from adapters.local_stack.readiness import READY_PATHS
from adapters.local_stack.stack_home import ProcessEndpoint, StackHome, StackStatus
from adapters.local_stack.toxiproxy import VERSION_PATH
from adapters.runtime.addresses import plain
from adapters.runtime.settings import PREFIX, Settings, text_of
from adapters.runtime.step_hold import StepHold
from infra.local_stack.stack import ADDRESSED, SERVERS, SERVICES, LocalStack, address_setting
from infra.reporting import Report

PORTS: Final = {"kafka": 9092, "scoring": 3000, "mlflow": 5000, "prefect": 4200, "console": 8080}
"""Preferred ports."""

_POLL_SECONDS: Final = 0.3
_PUBLISHED_SETTINGS: Final = (
    "home", "kafka_bootstrap", "mlflow_url", "prefect_url", "scoring_url", "store_url", "index_url", "api_key",
    "console_url", "console_token", "hold_steps",
    "partitions", "partitioner", "kafka_security_protocol", "kafka_sasl_mechanism", "kafka_username", "kafka_password",
    "kafka_token_provider", "kafka_token_url", "kafka_token_scope", "kafka_aws_region",
    "kafka_ca_file", "kafka_certificate", "kafka_key", "kafka_key_password", "kafka_client",
    "traces_url", "traces_share",
)  # fmt: skip
"""Settings with which other processes find the parts of the stack."""


def run_stack(
    home: StackHome,
    given: Settings,
    jobs: Mapping[str, Sequence[str]],
    *,
    report: Report,
    is_ready: Callable[[StackStatus], bool],
) -> None:
    """Start all processes in `home`, and `jobs` (a module with its arguments by name), until interrupted.

    `is_ready` is called repeatedly with the current status until it returns True. Raises the errors of `LocalStack`
    while the processes are started for the first time; later exits are not errors.
    """
    StepHold(home.folder / "run").release()  # what an earlier stack was asked would stop this one at its first batch
    with LocalStack(home.settings(given), ports=PORTS, report=report) as stack:
        stack.start(*stack.servers, wait=False)
        stack.start(*SERVICES, wait=False)
        stack.supervisor.spawn([stack.job_spec(name, *command) for name, command in jobs.items()])
        status = written = initial_status(stack)
        home.write(status)
        while True:
            restarts = dict(status.restarts)
            for name in stack.supervisor.restart_exited():
                restarts[name] = restarts.get(name, 0) + 1
            status = structs.replace(status, restarts=restarts, finished=stack.supervisor.finished)
            status = structs.replace(status, ready=status.ready or is_ready(status))
            if status != written:
                home.write(status)
                written = status
            time.sleep(_POLL_SECONDS)


def initial_status(stack: LocalStack) -> StackStatus:
    """Return the status of a stack that has started no process yet."""
    values = {key: getattr(stack.settings, key) for key in _PUBLISHED_SETTINGS}
    return StackStatus(
        owner=ProcessIdentity.of(os.getpid()),
        environment={PREFIX + key.upper(): text_of(value) for key, value in values.items() if value not in (None, "")},
        own_variables=[PREFIX + address_setting(name).upper() for name in ADDRESSED if not stack.is_external(name)],
        endpoints={name: _endpoint(stack, name) for name in [*stack.servers, *SERVICES, *stack.supervisor.names]},
    )


def _endpoint(stack: LocalStack, name: str) -> ProcessEndpoint:
    if name == PROXY:
        return ProcessEndpoint(stack.toxiproxy_url, stack.toxiproxy_url + VERSION_PATH)
    if name not in SERVERS:
        address = stack.health_address(name)
        return ProcessEndpoint(address, f"{address}/readyz")
    address = plain(getattr(stack.settings, address_setting(name)))
    return ProcessEndpoint(address, address.rstrip("/") + READY_PATHS[name] if name in READY_PATHS else "")
