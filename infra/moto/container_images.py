"""Local stand-ins for container images and containers: the program that an image starts, and a container's disk.

An image is only a name here. The last word of its repository's name (`...-scoring:TAG`) selects the program. The
configuration of a job names the job's program itself.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from infra.moto.processes import local_command

ENTRY_POINTS: Final[dict[str, list[str]]] = {"scoring": ["python", "-m", "services.scoring"]}
"""Commands by the last word of the repository's name. `python -m infra.moto --image WORD=COMMAND` adds more."""

OWN_FOLDERS: Final = ("CARDWATCH_HOME",)
"""Environment variables whose value is replaced by a folder on the container's disk."""

_ML: Final = "/opt/ml"


def entry_point(image: str) -> list[str]:
    """Return the command that `image` starts with. Raises `FileNotFoundError` if none is registered for it."""
    repository = image.rpartition("/")[2].partition("@")[0].partition(":")[0]
    if (command := ENTRY_POINTS.get(repository.rpartition("-")[2])) is None:
        raise FileNotFoundError(f"no local program is registered for the image {image}, only {sorted(ENTRY_POINTS)}")
    return local_command(command)


class ContainerDisk:
    """A temporary folder that stands in for a container's disk. `ml` stands in for its /opt/ml."""

    def __init__(self, name: str) -> None:
        self.root = Path(tempfile.mkdtemp(prefix=f"{name}-"))
        self.ml = self.root / "opt" / "ml"
        self.ml.mkdir(parents=True)
        self.log = self.root / "log"

    def local_path(self, path: str) -> str:
        """Return the path on this machine for a path under /opt/ml; any other string is returned unchanged."""
        return f"{self.ml}{path.removeprefix(_ML)}" if path == _ML or path.startswith(f"{_ML}/") else path

    def local_variables(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Return environment variables with paths under /opt/ml replaced, and with `OWN_FOLDERS` on this disk."""
        local = {name: self.local_path(value) for name, value in variables.items()}
        return {**local, **{name: str(self.root / "home") for name in OWN_FOLDERS}}

    def log_tail(self, lines: int = 5) -> str:
        """Return the last non-empty lines that the container's program has printed, 1,024 characters at most."""
        printed = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([line for line in printed if line.strip()][-lines:])[-1_024:]

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.root, ignore_errors=True)
