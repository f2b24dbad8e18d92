"""The whole system on one machine: servers and our own processes, each a process of its own, found by address."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from msgspec import structs

from adapters.kafka.topics import create_topics, wait_for_broker
from adapters.runtime.ports import LOOPBACK, choose_ports, free_ports
from adapters.runtime.settings import Settings, child_environment, new_api_key
from cardwatch.errors import Misconfigured, Unavailable
from infra.local_stack.embedded_kafka import EmbeddedKafka
from infra.local_stack.kafka_jars import Report
from infra.local_stack.prometheus_targets import write_targets
from infra.local_stack.servers import answers, mlflow_part, prefect_part
from infra.local_stack.supervisor import ProcessSpec, Supervisor

SERVERS: Final = ("kafka", "mlflow", "prefect")
# In the order in which they may stop from the end: nobody outlives whom it asks.
SERVICES: Final = ("scoring", "pipelines", "archive", "stream", "monitor")
# What has an address of its own, in the settings.
ADDRESSED: Final = ("kafka", "mlflow", "prefect", "scoring")

_HEALTH: Final = {"mlflow_url": "/health", "prefect_url": "/api/health", "scoring_url": "/livez"}


class LocalStack:
    """Starts what is asked for by name, on free ports, and stops all of it on leaving.

    `ports` names those that are preferred, by process, for as long as nobody else has them.

    An address that `settings` already has is somebody else's server: it is checked instead of started. The entered
    stack's `settings` have every address filled in, and a key for the scoring service if there was none. A second
    worker is started as `stream-2`: what follows the last `-` only tells processes of a kind apart. Raises
    `Misconfigured` on entering for a home that cannot be written or is in use.
    """

    def __init__(
        self, settings: Settings, *, ports: Mapping[str, int] | None = None, report: Report = lambda _: None
    ) -> None:
        self._given = settings
        self._preferred = dict(ports or {})
        self._report = report
        self._closing = ExitStack()
        self._watch_ports: dict[str, int] = {}

    def __enter__(self) -> Self:
        given = structs.replace(self._given, home=self._given.home.absolute())
        self.supervisor = self._closing.enter_context(Supervisor(given.home))
        ports = choose_ports({name: self._preferred.get(name, 0) for name in ADDRESSED})
        mlflow, prefect, scoring = (f"http://{LOOPBACK}:{ports[name]}" for name in ADDRESSED[1:])
        self._kafka = EmbeddedKafka(given, port=ports["kafka"], report=self._report)
        self.settings = structs.replace(
            given,
            kafka_bootstrap=given.kafka_bootstrap or self._kafka.bootstrap,
            mlflow_url=given.mlflow_url or mlflow,
            prefect_url=given.prefect_url or prefect,
            scoring_url=given.scoring_url or scoring,
            api_key=given.api_key or new_api_key(),
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.__exit__(kind, error, trace)

    def start(self, *names: str, wait: bool = True) -> None:
        """Start these at the same time and return when all are ready (or at once); with `kafka` come its topics.

        Raises `ProcessDied` if any process of the stack has ended, `Unavailable` for one that is not ready in time and
        for somebody's own server that does not answer, and what `EmbeddedKafka` raises.
        """
        ours = [name for name in names if not self.is_given(name)]
        # The broker's part takes seconds to make: it comes last, while the others already start.
        self.supervisor.spawn(self._part(name) for name in sorted(ours, key=lambda name: name == "kafka"))
        for name in set(names) - set(ours):
            self._check_given(name)
        if not wait:
            return
        self.supervisor.await_ready(*ours)
        if "kafka" in names:
            create_topics(self.settings.kafka_bootstrap, partitions=self.settings.partitions)

    def run(self, name: str, module: str, *arguments: str) -> None:
        """Start `python -m module arguments` as `name`, a process that may end: see `Supervisor.wait`."""
        self.supervisor.start(self.job(name, module, *arguments))

    def job(self, name: str, module: str, *arguments: str) -> ProcessSpec:
        """How `python -m module arguments` is started as `name`, a process that may end."""
        return ProcessSpec(
            name=name,
            command=[sys.executable, "-m", module, *arguments],
            environment=self._environment(name),
            may_end=True,
        )

    def is_given(self, name: str) -> bool:
        """Whether this is somebody else's server, by its address in the settings."""
        return name in ADDRESSED and bool(getattr(self._given, address_of(name)))

    def _check_given(self, name: str) -> None:
        key = address_of(name)
        address = getattr(self.settings, key)
        if name == "kafka":
            wait_for_broker(address)
        elif not answers(address.rstrip("/") + _HEALTH[key]):
            raise Unavailable(f"nothing answers at CARDWATCH_{key.upper()}={address}: start it, or unset the variable")

    def _part(self, name: str) -> ProcessSpec:
        match name:
            case "kafka":
                return self._kafka.part()
            case "mlflow":
                return mlflow_part(self.settings)
            case "prefect":
                return prefect_part(self.settings)
            case _:
                return self._service(name)

    def _service(self, name: str) -> ProcessSpec:
        kind = name.rpartition("-")[0] or name
        if kind not in SERVICES:
            raise Misconfigured(
                f"there is no process {name!r} in the local stack, only {', '.join(SERVERS + SERVICES)}"
            )
        # Scoring lives before it has a model, and that is all that the others need of it.
        question = f"{self.settings.scoring_url}/livez" if kind == "scoring" else f"{self.watched_at(name)}/readyz"
        return ProcessSpec(
            name=name,
            command=[sys.executable, "-m", kind if kind == "pipelines" else f"services.{kind}"],
            environment=self._environment(name),
            ready=lambda: answers(question),
        )

    def watched_at(self, name: str) -> str:
        """Where this process of ours answers `/livez`, `/readyz` and `/metrics`: at the same address each time.

        A file in the home says so to Prometheus, see `infra.local_stack.prometheus_targets`.
        """
        if name == "scoring":
            return self.settings.scoring_url
        if name not in self._watch_ports:
            [self._watch_ports[name]] = free_ports(1)
            watched = {name: self.watched_at(name) for name in ("scoring", *self._watch_ports)}
            write_targets(self.settings.home, watched)
        return f"http://{LOOPBACK}:{self._watch_ports[name]}"

    def _environment(self, name: str) -> dict[str, str]:
        port = urlsplit(self.watched_at(name)).port
        return child_environment(
            structs.replace(self.settings, watch_port=None if name == "scoring" else port),
            PYTHONUNBUFFERED="1",
            MLFLOW_DISABLE_TELEMETRY="true",
            DO_NOT_TRACK="1",
            OMP_WAIT_POLICY="passive",  # threads that spin for each other take a busy machine's cores from the others
        )


def address_of(name: str) -> str:
    """The setting that has the address of one of `ADDRESSED`."""
    return "kafka_bootstrap" if name == "kafka" else f"{name}_url"
