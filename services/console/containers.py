"""The parts of a deployment whose processes the console can only ask: those of the compose file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from adapters.local_stack.process_actions import FREEZE, KILL, RESUME
from adapters.local_stack.readiness import unready_reasons
from adapters.local_stack.stack_home import ProcessEndpoint
from adapters.runtime.addresses import without_userinfo
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.errors import Misconfigured
from cardwatch.live.frames import BoxState
from services.console.boxes import ProcessObservation

_COMMANDS: Final = {KILL: "docker compose kill", FREEZE: "docker compose pause", RESUME: "docker compose unpause"}
_UNASKED: Final = "it has not been asked yet"


class ContainerProcesses:
    """Asks the parts in `endpoints` whether they are ready. No container may touch another one."""

    def __init__(self, endpoints: Mapping[str, ProcessEndpoint], broker: KafkaConnection) -> None:
        self._endpoints, self._broker = dict(endpoints), broker
        self._reasons: dict[str, str | None] = dict.fromkeys(endpoints, _UNASKED)
        self._have_been_ready: set[str] = set()

    def ask(self) -> dict[str, ProcessEndpoint]:
        """Ask all parts whether they are ready, and return them; takes as long as the slowest answer."""
        self._reasons = unready_reasons(self._endpoints, self._broker)
        self._have_been_ready |= {name for name, reason in self._reasons.items() if reason is None}
        return self._endpoints

    def observe(self) -> list[ProcessObservation]:
        """Return all parts with their newest answers."""
        return [
            ProcessObservation(
                name=name,
                state=self._state(name, reason),
                reason=None if reason is None else without_userinfo(reason),
                pid=None,
                restarts=0,
                address=without_userinfo(self._endpoints[name].address),
                commands={action: f"{command} {name}" for action, command in _COMMANDS.items()},
            )
            for name, reason in self._reasons.items()
        ]

    def act(self, name: str, action: str) -> None:
        """Raise `Misconfigured` with the command to type instead."""
        command = f": type `{_COMMANDS[action]} {name}`" if name in self._endpoints and action in _COMMANDS else ""
        raise Misconfigured(f"no container may touch another one{command}")

    def freeze_until(self, name: str, until_ms: float) -> None:
        """Raise `Misconfigured` with the command to type instead."""
        self.act(name, FREEZE)

    def frozen_until_ms(self, name: str) -> float | None:
        """Return None: the console has frozen no container."""

    def resume_due(self) -> None:
        """Do nothing: the console has frozen no container."""

    def log_tail(self, name: str, lines: int) -> list[str]:
        """Return no lines: no container reads the log of another one."""
        return []

    def log_command(self, name: str) -> str:
        """Return the command that prints the log of a container."""
        return f"docker compose logs {name}"

    def _state(self, name: str, reason: str | None) -> BoxState:
        if reason is None:
            return BoxState.READY
        if name not in self._have_been_ready:
            return BoxState.STARTING
        return BoxState.DOWN if reason == "it does not answer yet" else BoxState.WAITING


def parse_endpoints(watched: str) -> dict[str, ProcessEndpoint]:
    """Return the endpoints of `name=URL of readiness` or, for Kafka, `name=host:port`, separated by commas.

    >>> parse_endpoints("stream=http://stream:9464/readyz,kafka=kafka:9092")["kafka"]
    ProcessEndpoint(address='kafka:9092', readiness_url='')

    Raises `Misconfigured` for other texts.
    """
    found = {}
    for part in filter(None, (part.strip() for part in watched.split(","))):
        name, separator, target = part.partition("=")
        if not separator or not name or not target:
            raise Misconfigured(f"CARDWATCH_CONSOLE_WATCHES: {part!r:.100} is not NAME=ADDRESS")
        is_url = "://" in target
        found[name] = ProcessEndpoint(target, target if is_url else "")
    return found
