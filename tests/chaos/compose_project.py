"""A project of the compose file as tests use it: started, inspected and removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from infra.compose import BUILD_SECONDS, COMMAND_SECONDS, PODMAN_BUILD, ROOT, Compose

START_SECONDS: Final = 600.0


class ComposeProject(Compose):
    """A project with the calls that only tests need."""

    def build_target(self, target: str) -> str:
        """Build a target of the Dockerfile that is not a service, and return the image's name."""
        options = PODMAN_BUILD.split() if self._engine.client == "podman" else []
        name = f"cardwatch/{target}"
        self.run("build", *options, "--target", target, "--tag", name, str(ROOT), seconds=BUILD_SECONDS)
        return name

    def up(self, *services: str, profiles: Sequence[str] = ()) -> None:
        """Create and start these services, or all services of the profiles and of the core."""
        selected = [part for profile in profiles for part in ("--profile", profile)]
        self._compose(*selected, "up", "-d", *services, seconds=START_SECONDS)

    def down(self, *, volumes: bool) -> None:
        """Remove containers and networks, and with `volumes` also all data."""
        everything = ("--profile", "demo", "--profile", "observability")
        self._compose(*everything, "down", *(["-v"] if volumes else []), seconds=START_SECONDS)

    def containers(self, service: str) -> list[str]:
        """Return the ids of a service's containers, including stopped ones."""
        project = f"label=com.docker.compose.project={self.project}"
        service_label = f"label=com.docker.compose.service={service}"
        return self.run("ps", "-aq", "--filter", project, "--filter", service_label).split()

    def pid(self, service: str) -> int:
        """Return the host's id of the main process in the service's first container; 0 if it is not running."""
        return int(self.run("inspect", "-f", "{{.State.Pid}}", self.containers(service)[0]))

    def run_in(self, service: str, *command: str, stdin: str = "", seconds: float = COMMAND_SECONDS) -> str:
        """Return the output of a command in the service's first container."""
        return self.run("exec", "-i", self.containers(service)[0], *command, stdin=stdin, seconds=seconds)
