"""The containers of docker-compose.yml, by the engine that is there: Docker with its plugin, or podman-compose.

`python -m infra.compose engine` prints the command to be used, or nothing where there is none; `images` builds all and
lists their sizes; `addresses` prints where a running stack is found.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from adapters.runtime.settings import child_environment, read_settings
from cardwatch.errors import CardwatchError, Unavailable

ROOT: Final = Path(__file__).resolve().parent.parent
ASK_SECONDS: Final = 60.0
START_SECONDS: Final = 600.0
BUILD_SECONDS: Final = 2_400.0

ADDRESSES: Final = {"Grafana": 3001, "Prometheus": 9090, "scoring": 3000, "MLflow": 5000, "Prefect": 4200}
"""What the compose file publishes for people, at its default ports."""

# Where podman builds, certificates of this machine are needed, and its network: both are what `docker build` has.
_PODMAN_BUILD: Final = "--network host -v /etc/ssl/certs:/etc/ssl/certs:ro"


class Engine(NamedTuple):
    """`client` asks about single containers, `compose` takes compose's commands."""

    client: str
    compose: tuple[str, ...]


def find_engine() -> Engine | None:
    """Docker if it runs, else podman with podman-compose, else None."""
    if _succeeds("docker", "info") and _succeeds("docker", "compose", "version"):
        return Engine("docker", ("docker", "compose"))
    if shutil.which("podman-compose") and _succeeds("podman", "info"):
        return Engine("podman", ("podman-compose",))
    return None


class Compose:
    """One project of the compose file, beside others: its containers, networks and volumes carry `project`'s name.

    `environment` has what the file takes from outside: ports, keys. Every call raises `CardwatchError` with what the
    engine said if it refuses, and `Unavailable` if it takes too long.
    """

    def __init__(
        self, engine: Engine, project: str, environment: Mapping[str, str], files: Sequence[Path] = ()
    ) -> None:
        self._engine, self.project = engine, project
        self._environment = child_environment(read_settings({}), **environment)
        self._files = [ROOT / "docker-compose.yml", *files]

    def build(self) -> None:
        """Build every image of ours."""
        # Eight at once would fetch the same libraries eight times.
        podman = ("--parallel", "1", "--podman-build-args", _PODMAN_BUILD) if self._engine.client == "podman" else ()
        self._compose(*podman, "--profile", "demo", "build", seconds=BUILD_SECONDS)

    def build_target(self, target: str) -> str:
        """Build a target of the Dockerfile that no service here runs, and give the image's name."""
        options = _PODMAN_BUILD.split() if self._engine.client == "podman" else []
        name = f"cardwatch/{target}"
        self.ask("build", *options, "--target", target, "--tag", name, str(ROOT), seconds=BUILD_SECONDS)
        return name

    def up(self, *services: str, profiles: Sequence[str] = (), scale: str | None = None) -> None:
        """Create and start these services, or all of the profiles and of the core."""
        chosen = [part for profile in profiles for part in ("--profile", profile)]
        scaling = [] if scale is None else ["--scale", scale]
        self._compose(*chosen, "up", "-d", *scaling, *services, seconds=START_SECONDS)

    def down(self, *, volumes: bool) -> None:
        """Remove containers and networks, and the volumes with all data if so asked."""
        everything = ("--profile", "demo", "--profile", "observability")
        self._compose(*everything, "down", *(["-v"] if volumes else []), seconds=START_SECONDS)

    def containers(self, service: str) -> list[str]:
        """The ids of a service's containers, whether they run or not."""
        of_project = f"label=com.docker.compose.project={self.project}"
        of_service = f"label=com.docker.compose.service={service}"
        return self.ask("ps", "-aq", "--filter", of_project, "--filter", of_service).split()

    def pid(self, service: str) -> int:
        """The process id, on this machine, of the first process in the service's first container; 0 if none runs."""
        return int(self.ask("inspect", "-f", "{{.State.Pid}}", self.containers(service)[0]))

    def logs(self, service: str) -> str:
        """Everything that the service's containers have said."""
        return "".join(self.ask("logs", container) for container in self.containers(service))

    def run_in(self, service: str, *command: str, given: str = "", seconds: float = ASK_SECONDS) -> str:
        """The output of a command in the service's first container, `given` on its standard input."""
        return self.ask("exec", "-i", self.containers(service)[0], *command, given=given, seconds=seconds)

    def ask(self, *command: str, given: str = "", seconds: float = ASK_SECONDS) -> str:
        """The engine's answer to a command."""
        return self._run([self._engine.client, *command], given=given, seconds=seconds)

    def _compose(self, *command: str, seconds: float) -> None:
        files = [part for file in self._files for part in ("-f", str(file))]
        self._run([*self._engine.compose, "-p", self.project, *files, *command], given="", seconds=seconds)

    def _run(self, command: list[str], *, given: str, seconds: float) -> str:
        try:
            answer = subprocess.run(
                command,
                input=given,
                env=self._environment,
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"{' '.join(command)}: no end within {seconds:g} s") from error
        if answer.returncode:
            raise CardwatchError(
                f"{' '.join(command)} ended with status {answer.returncode}: {answer.stderr.strip()[-2_000:]}"
            )
        # podman writes a container's error output to its own.
        return answer.stdout + (answer.stderr if command[1:2] == ["logs"] else "")


def _succeeds(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    try:
        return subprocess.run(command, capture_output=True, timeout=ASK_SECONDS, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _tell_images(engine: Engine) -> str:
    compose = Compose(engine, "cardwatch", {})
    compose.build()
    sizes = compose.ask(
        "image", "ls", "--format", "{{.Repository}} {{.Size}}", "--filter", "reference=*cardwatch/*:latest"
    )
    return "".join(f"{line.removeprefix('localhost/')}\n" for line in sorted(sizes.splitlines()))


def _tell_addresses() -> str:
    return "".join(f"{name:<12} http://localhost:{port}\n" for name, port in ADDRESSES.items())


def main() -> None:
    """Say what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m infra.compose", description=__doc__)
    parser.add_argument("what", choices=["engine", "images", "addresses"])
    what = parser.parse_args().what
    engine = find_engine()
    match what:
        case "engine":
            sys.stdout.write(" ".join(engine.compose) if engine else "")
        case "addresses":
            sys.stdout.write(_tell_addresses())
        case _ if engine is None:
            sys.exit("there is neither Docker with compose nor podman-compose")
        case _:
            sys.stdout.write(_tell_images(engine))


if __name__ == "__main__":
    main()
