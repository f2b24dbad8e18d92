"""A project of the compose file as tests use it: started, inspected and removed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import yaml

from cardwatch.errors import CardwatchError
from infra.compose import BUILD_SECONDS, COMMAND_SECONDS, PODMAN_BUILD, ROOT, Compose

START_SECONDS: Final = 600.0
HEALTHY_SECONDS: Final = 360.0
"""Maximum time from the start of a container to its first successful health check: the longest `start_period`, and a
minute for the next checks."""
ERRORS_PER_CONTAINER: Final = 3
MAX_LINE_LENGTH: Final = 400


class ComposeProject(Compose):
    """A project with the calls that only tests need."""

    def build_target(self, target: str) -> str:
        """Build a target of the Dockerfile that is not a service, and return the image's name."""
        options = PODMAN_BUILD.split() if self._engine.client == "podman" else []
        name = f"cardwatch/{target}"
        self.run("build", *options, "--target", target, "--tag", name, str(ROOT), seconds=BUILD_SECONDS)
        return name

    def up(self, *services: str, profiles: Sequence[str] = (), wait: bool = False) -> None:
        """Create and start these services, or all services of the profiles and of the core.

        With `wait`, Docker waits until they are healthy. Podman 4 cannot: call `why_unhealthy` then.
        """
        selected = [part for profile in profiles for part in ("--profile", profile)]
        is_possible = wait and self._engine.client == "docker"
        waiting = ("--wait", "--wait-timeout", f"{HEALTHY_SECONDS:.0f}") if is_possible else ()
        self._compose(*selected, "up", "-d", *waiting, *services, seconds=START_SECONDS)

    def down(self, *, volumes: bool) -> None:
        """Remove containers and networks, and with `volumes` also all data."""
        everything = ("--profile", "demo", "--profile", "observability")
        self._compose(*everything, "down", *(["-v"] if volumes else []), seconds=START_SECONDS)

    def containers(self, service: str) -> list[str]:
        """Return the ids of a service's containers, including stopped ones."""
        project = f"label=com.docker.compose.project={self.project}"
        service_label = f"label=com.docker.compose.service={service}"
        return self.run("ps", "-aq", "--filter", project, "--filter", service_label).split()

    def images_of_profile(self, profile: str) -> dict[str, str]:
        """Return the images of the services that only this profile starts."""
        services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
        return {name: service["image"] for name, service in services.items() if profile in service.get("profiles", [])}

    def can_run(self, image: str) -> bool:
        """Whether the image is here. Docker can also pull it; podman may run on a machine that reaches no registry."""
        if self._engine.client == "docker":
            return True
        try:
            self.run("image", "inspect", image)
        except CardwatchError:
            return False
        return True

    def why_unhealthy(self, service: str) -> str | None:
        """Return the state and the output of the service's own health check, None if its container is healthy.

        Docker runs the checks regularly, podman without systemd does not: then the check is run here.
        """
        container = self.containers(service)[0]
        if self._engine.client == "podman":
            with suppress(CardwatchError):  # it fails if the check fails, with less information than the log below
                self.run("healthcheck", "run", container)
        [state] = [each["State"] for each in json.loads(self.run("inspect", container))]
        health = state.get("Health") or state.get("Healthcheck") or {}
        if state["Running"] and health.get("Status") == "healthy":
            return None
        newest = (health.get("Log") or [{}])[-1]
        return f"{state['Status']}, {health.get('Status')}: {newest.get('ExitCode')}, {newest.get('Output')!r}"

    def pid(self, service: str) -> int:
        """Return the host's id of the main process in the service's first container; 0 if it is not running."""
        return int(self.run("inspect", "-f", "{{.State.Pid}}", self.containers(service)[0]))

    def errors(self) -> str:
        """Return the newest lines that say ERROR from each container, as a failed test should show them."""
        found = []
        for container in self.run("ps", "-a", "--format", "{{.Names}}").split():
            if container.startswith(self.project):
                command = [self._engine.client, "logs", "--tail", "500", container]
                streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
                log = subprocess.run(command, env=self._environment, check=False, timeout=COMMAND_SECONDS, **streams)
                lines = [line[:MAX_LINE_LENGTH] for line in log.stdout.splitlines() if "ERROR" in line]
                found += [f"{container}: {line}" for line in lines[-ERRORS_PER_CONTAINER:]]
        return "\n".join(found)

    def run_in(self, service: str, *command: str, stdin: str = "", seconds: float = COMMAND_SECONDS) -> str:
        """Return the output of a command in the service's first container."""
        return self.run("exec", "-i", self.containers(service)[0], *command, stdin=stdin, seconds=seconds)
