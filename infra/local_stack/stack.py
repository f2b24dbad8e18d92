"""The complete system on one machine: servers and services, each in its own process, reachable by address."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from msgspec import structs

from adapters.kafka.topics import create_topics, wait_for_broker
from adapters.local_stack.network_faults import KAFKA, PROXY, SCORING, STORE
from adapters.local_stack.readiness import READY_PATHS, is_responding
from adapters.runtime.addresses import plain
from adapters.runtime.ports import LOOPBACK, choose_ports, free_ports
from adapters.runtime.settings import Settings, child_environment, new_api_key
from cardwatch.errors import Misconfigured, Unavailable
from infra.local_stack.prometheus_targets import write_targets
from infra.local_stack.servers import server_spec
from infra.local_stack.stream_proxies import ProxiedKafka, StreamProxies, can_forward_store, find_toxiproxy
from infra.local_stack.supervisor import ProcessSpec, Supervisor
from infra.reporting import Report

SERVERS: Final = ("kafka", "mlflow", "prefect")
SERVICES: Final = ("scoring", "pipelines", "archive", "stream", "monitor", "console")
"""In start order. Processes stop in reverse, so that no process outlives one that it calls."""
ADDRESSED: Final = ("kafka", "mlflow", "prefect", "scoring")
"""Processes whose address is a setting."""

_HEALTH_PATHS: Final = {**READY_PATHS, "scoring": "/livez"}


class LocalStack:
    """Starts processes by name on free ports, and stops all of them on leaving.

    An address that `settings` already has belongs to an external server, which is checked instead of started. The
    entered stack's `settings` have every address filled in, and a key for the scoring service if there was none.
    `ports` are preferred ports by process name, used where they are free. A second worker is started as `stream-2`: the
    suffix after the last `-` distinguishes processes of one kind. Raises `Misconfigured` on entering if the home cannot
    be written or is in use.

    With `settings.toxiproxy` the stack has a process `toxiproxy`, see `infra.local_stack.stream_proxies`: the stream
    `workers` reach the stack's own broker and scoring service, and a feature store, through it. Raises `Misconfigured`
    on entering if the setting names another program, or none.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        ports: Mapping[str, int] | None = None,
        report: Report = lambda _: None,
        workers: Sequence[str] = ("stream",),
    ) -> None:
        self._given = settings
        self._workers = workers
        self._proxies: StreamProxies | None = None
        self._preferred_ports = dict(ports or {})
        self._report = report
        self._closing = ExitStack()
        self._health_ports: dict[str, int] = {}

    def __enter__(self) -> Self:
        given = structs.replace(self._given, home=self._given.home.absolute())
        if given.toxiproxy:
            self._proxies = self._stream_proxies(find_toxiproxy(given.toxiproxy))
        self.supervisor = self._closing.enter_context(Supervisor(given.home))
        ports = choose_ports({name: self._preferred_ports.get(name, 0) for name in (*ADDRESSED, "console")})
        mlflow, prefect, scoring, console = (f"http://{LOOPBACK}:{port}" for port in list(ports.values())[1:])
        behind_proxies = self._proxies.broker_addresses if self._proxies else []
        self._kafka = ProxiedKafka(given, behind_proxies, port=ports["kafka"], report=self._report)
        self.settings = structs.replace(
            given,
            kafka_bootstrap=given.kafka_bootstrap or self._kafka.bootstrap,
            mlflow_url=given.mlflow_url or mlflow,
            prefect_url=given.prefect_url or prefect,
            scoring_url=given.scoring_url or scoring,
            api_key=given.api_key or new_api_key(),
            console_url=given.console_url or console,
            console_token=given.console_token or new_api_key(),
        )
        return self

    def __exit__(self, *_exception: object) -> None:
        self._closing.close()

    @property
    def servers(self) -> tuple[str, ...]:
        """`SERVERS`, and the proxy of the stream workers if there is one."""
        return (*SERVERS, PROXY) if self._proxies else SERVERS

    @property
    def toxiproxy_url(self) -> str:
        """Address of the HTTP API of Toxiproxy, empty without it."""
        return self._proxies.url if self._proxies else ""

    def start(self, *names: str, wait: bool = True) -> None:
        """Start these processes concurrently and, with `wait`, return when all are ready; `kafka` includes its topics.

        Raises `ProcessDied` if any process of the stack has exited, `Unavailable` for one that is not ready in time and
        for an external server that does not answer, and the errors of `EmbeddedKafka`.
        """
        own = [name for name in names if not self.is_external(name)]
        # Preparing the broker takes seconds, so it comes last, while the other processes are already starting.
        self.supervisor.spawn(self._spec(name) for name in sorted(own, key=lambda name: name == "kafka"))
        for name in set(names) - set(own):
            self._check_external(name)
        if not wait:
            return
        self.supervisor.await_ready(*own)
        if "kafka" in names:
            create_topics(self.settings.kafka, partitions=self.settings.partitions)

    def run(self, name: str, module: str, *arguments: str) -> None:
        """Start `python -m module arguments` as `name`, a process that may end: see `Supervisor.wait`."""
        self.supervisor.start(self.job_spec(name, module, *arguments))

    def job_spec(self, name: str, module: str, *arguments: str) -> ProcessSpec:
        """Return how to start `python -m module arguments` as `name`, a process that may end."""
        return ProcessSpec(
            name=name,
            command=[sys.executable, "-m", module, *arguments],
            environment=self._environment(name),
            may_end=True,
        )

    def is_external(self, name: str) -> bool:
        """Whether the settings give the address of this server, so that the stack does not start it."""
        return name in ADDRESSED and bool(getattr(self._given, address_setting(name)))

    def health_address(self, name: str) -> str:
        """Return the base URL at which a service answers `/livez`, `/readyz` and `/metrics`; it survives restarts.

        The address is also written for Prometheus, see `infra.local_stack.prometheus_targets`.
        """
        if name == "scoring":
            return plain(self.settings.scoring_url)
        if name not in self._health_ports:
            [self._health_ports[name]] = free_ports(1)
            addresses = {name: self.health_address(name) for name in ("scoring", *self._health_ports)}
            write_targets(self.settings.home, addresses)
        return f"http://{LOOPBACK}:{self._health_ports[name]}"

    def _check_external(self, name: str) -> None:
        key = address_setting(name)
        address = getattr(self.settings, key)
        if name == "kafka":
            wait_for_broker(self.settings.kafka)
        elif not is_responding(address.rstrip("/") + _HEALTH_PATHS[name], name):
            raise Unavailable(f"nothing answers at CARDWATCH_{key.upper()}={address}: start it, or unset the variable")

    def _spec(self, name: str) -> ProcessSpec:
        if name == "kafka":
            return self._kafka.process_spec()
        if name == PROXY and self._proxies:
            return self._proxies.process_spec(self.settings, self._kafka.behind)
        return server_spec(name, self.settings) if name in SERVERS else self._service_spec(name)

    def _service_spec(self, name: str) -> ProcessSpec:
        kind = name.rpartition("-")[0] or name
        if kind not in SERVICES:
            raise Misconfigured(
                f"there is no process {name!r} in the local stack, only {', '.join(SERVERS + SERVICES)}"
            )
        # Scoring is live before it has a model, which is all that the other processes need.
        check = f"{self.settings.scoring_url}/livez" if kind == "scoring" else f"{self.health_address(name)}/readyz"
        # Two workers with the slot of this host would take the transactions from each other.
        slot = ["--slot", name] if kind == "stream" != name else []
        return ProcessSpec(
            name=name,
            command=[sys.executable, "-m", kind if kind == "pipelines" else f"services.{kind}", *slot],
            environment=self._environment(name),
            ready=lambda: is_responding(check),
        )

    def _stream_proxies(self, program: Path) -> StreamProxies:
        own = [server for server in (KAFKA, SCORING) if not self.is_external(server)]
        return StreamProxies(program, self._workers, [*own, *([STORE] if can_forward_store(self._given) else [])])

    def _environment(self, name: str) -> dict[str, str]:
        port = urlsplit(self.health_address(name)).port
        environment = child_environment(
            structs.replace(self.settings, watch_port=None if name == "scoring" else port),
            PYTHONUNBUFFERED="1",
            MLFLOW_DISABLE_TELEMETRY="true",
            DO_NOT_TRACK="1",
            OMP_WAIT_POLICY="passive",  # spinning threads would take the cores of a busy machine from other processes
        )
        return environment | (self._proxies.environment_of(name, self.settings) if self._proxies else {})


def address_setting(name: str) -> str:
    """Return the name of the setting that has the address of one of `ADDRESSED`."""
    return "kafka_bootstrap" if name == "kafka" else f"{name}_url"
