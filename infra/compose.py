"""Containers of docker-compose.yml, run by Docker with its compose plugin or by podman-compose.

`python -m infra.compose engine` prints the compose command, or nothing if neither is installed; `images` builds all
images and lists their sizes; `addresses` prints the addresses of a running stack; `secrets` adds the variables that are
missing in `.env`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from secrets import token_urlsafe
from typing import Final, NamedTuple

from adapters.runtime.process import exit_on_error
from adapters.runtime.settings import child_environment, read_settings
from cardwatch.errors import CardwatchError, Misconfigured, Unavailable

ROOT: Final = Path(__file__).resolve().parent.parent
COMMAND_SECONDS: Final = 60.0
BUILD_SECONDS: Final = 2_400.0

ADDRESSES: Final = {
    "console": 8080,
    "Grafana": 3001,
    "Prometheus": 9090,
    "scoring": 3000,
    "MLflow": 5000,
    "Prefect": 4200,
}
"""Default ports of the services with a user interface or an API."""

CONSOLE_TOKEN: Final = "CARDWATCH_CONSOLE_TOKEN"  # noqa: S105 (the name of a variable)
SECRETS: Final = ("CARDWATCH_API_KEY", CONSOLE_TOKEN, "GRAFANA_PASSWORD")
"""Variables of the compose file that `make up` sets to random values; the password is that of Grafana's `admin`."""

FIRST_REQUEST: Final = f"""
A first request, when the first model decides; the key is in .env:
  set -a; . ./.env; set +a
  .venv/bin/cardwatch example --url http://localhost:{ADDRESSES["scoring"]} | sh
"""

PODMAN_BUILD: Final = "--network host -v /etc/ssl/certs:/etc/ssl/certs:ro --security-opt label=disable"
"""Options that give a build by podman the network and certificates of this machine, as `docker build` does.

SELinux would forbid reading the certificates, and they must not get another label as the mounts of containers do.
"""


class Engine(NamedTuple):
    """Commands of an engine: `client` for single containers and images, `compose` for the project."""

    client: str
    compose: tuple[str, ...]


def find_engine() -> Engine | None:
    """Return Docker if it runs, otherwise podman with podman-compose, otherwise None."""
    if _succeeds("docker", "info") and _succeeds("docker", "compose", "version"):
        return Engine("docker", ("docker", "compose"))
    if shutil.which("podman-compose") and _succeeds("podman", "info"):
        return Engine("podman", ("podman-compose",))
    return None


class Compose:
    """One project of the compose file; its containers, networks and volumes have the prefix `project`.

    `environment` sets the file's variables: ports and keys. Every call raises `CardwatchError` with the engine's
    message if it fails, and `Unavailable` if it takes too long.
    """

    def __init__(
        self, engine: Engine, project: str, environment: Mapping[str, str], files: Sequence[Path] = ()
    ) -> None:
        self._engine, self.project = engine, project
        self._environment = child_environment(read_settings({}), **environment)
        self._files = [ROOT / "docker-compose.yml", *files]

    def build(self) -> None:
        """Build all images of the project."""
        # Concurrent builds would download the same libraries eight times.
        podman = ("--parallel", "1", "--podman-build-args", PODMAN_BUILD) if self._engine.client == "podman" else ()
        self._compose(*podman, "--profile", "demo", "build", seconds=BUILD_SECONDS)

    def run(self, *command: str, stdin: str = "", seconds: float = COMMAND_SECONDS) -> str:
        """Return the output of a command of the engine."""
        return self._execute([self._engine.client, *command], stdin=stdin, seconds=seconds)

    def _compose(self, *command: str, seconds: float) -> None:
        files = [part for file in self._files for part in ("-f", str(file))]
        self._execute([*self._engine.compose, "-p", self.project, *files, *command], stdin="", seconds=seconds)

    def _execute(self, command: list[str], *, stdin: str, seconds: float) -> str:
        try:
            completed = subprocess.run(
                command,
                input=stdin,
                env=self._environment,
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"{' '.join(command)}: not finished within {seconds:g} s") from error
        if completed.returncode:
            raise CardwatchError(
                f"{' '.join(command)} ended with status {completed.returncode}: {completed.stderr.strip()[-2_000:]}"
            )
        return completed.stdout


def add_secrets(file: Path) -> list[str]:
    """Add a random value for each of `SECRETS` that `file` does not set, and return the names of those added.

    The file has lines `NAME=value`, as compose reads them. Existing lines stay as they are. Only its owner can read a
    new file. Raises `Misconfigured` if it cannot be read or written.
    """
    try:
        with open(file, "a+", encoding="utf-8", opener=_open_private) as lines:
            lines.seek(0)
            text = lines.read()
            given = {line.partition("=")[0].removeprefix("export ").strip() for line in text.splitlines()}
            missing = [name for name in SECRETS if name not in given]
            separator = "\n" if text and not text.endswith("\n") else ""
            lines.write(separator + "".join(f"{name}={token_urlsafe(24)}\n" for name in missing))
    except (OSError, UnicodeError) as error:
        raise Misconfigured(f"the secrets cannot be written to {file}: {error}") from error
    return missing


def addresses(token: str) -> str:
    """Return a line per address. That of the console carries its token in the fragment, which browsers send nobody."""
    urls = {name: f"http://localhost:{port}" for name, port in ADDRESSES.items()}
    if token:
        urls["console"] += f"/#token={token}"
    return "".join(f"{name:<12} {url}\n" for name, url in urls.items())


def console_token(file: Path) -> str:
    """Return the console's token as compose takes it: of the environment, else of `file`; empty if there is none."""
    if given := read_settings().console_token:
        return given
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError):
        return ""
    values = [value for name, _, value in (line.removeprefix("export ").partition("=") for line in lines)
              if name.strip() == CONSOLE_TOKEN]  # fmt: skip
    return values[-1].strip().strip("'\"") if values else ""


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)


def _succeeds(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    try:
        return subprocess.run(command, capture_output=True, timeout=COMMAND_SECONDS, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _build_and_list(engine: Engine) -> str:
    compose = Compose(engine, "cardwatch", {})
    compose.build()
    sizes = compose.run(
        "image", "ls", "--format", "{{.Repository}} {{.Size}}", "--filter", "reference=*cardwatch/*:latest"
    )
    return "".join(f"{line.removeprefix('localhost/')}\n" for line in sorted(sizes.splitlines()))


def main() -> None:
    """Run the command of the arguments."""
    parser = argparse.ArgumentParser(prog="python -m infra.compose", description=__doc__)
    parser.add_argument("what", choices=["engine", "images", "addresses", "secrets"])
    what = parser.parse_args().what
    if what == "secrets":
        with exit_on_error():
            add_secrets(ROOT / ".env")
        return
    engine = find_engine()
    match what:
        case "engine":
            sys.stdout.write(" ".join(engine.compose) if engine else "")
        case "addresses":
            sys.stdout.write(addresses(console_token(ROOT / ".env")))
            sys.stdout.write(FIRST_REQUEST)
        case _ if engine is None:
            sys.exit("neither Docker with compose nor podman-compose is installed")
        case _:
            sys.stdout.write(_build_and_list(engine))


if __name__ == "__main__":
    main()
