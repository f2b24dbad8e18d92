"""What stands for an image: the program that it would start, and a folder that stands for the container's disk.

An image here is only a name. The last word of its repository's name (`...-scoring:TAG`) says which program it is; jobs
name theirs in their own configuration.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from infra.moto.children import program

ENTRY_POINTS: Final[dict[str, list[str]]] = {"scoring": ["python", "-m", "services.scoring"]}
"""By the last word of the repository. `python -m infra.moto --image WORD=COMMAND` adds more."""

OWN_FOLDERS: Final = ("CARDWATCH_HOME",)
"""Variables that name a folder of the container's own disk, whatever it is called there."""

_ML: Final = "/opt/ml"


def entry_point(image: str) -> list[str]:
    """The command that `image` starts with; raises `FileNotFoundError` if nothing here stands for it."""
    repository = image.rpartition("/")[2].partition("@")[0].partition(":")[0]
    if (command := ENTRY_POINTS.get(repository.rpartition("-")[2])) is None:
        raise FileNotFoundError(f"nothing here stands for the image {image}: there is none of {sorted(ENTRY_POINTS)}")
    return program(command)


class Disk:
    """A container's own disk: what it has below /opt/ml, and its folder for everything else."""

    def __init__(self, name: str) -> None:
        self.root = Path(tempfile.mkdtemp(prefix=f"{name}-"))
        self.ml = self.root / "opt" / "ml"
        self.ml.mkdir(parents=True)
        self.log = self.root / "log"

    def here(self, words: Sequence[str]) -> list[str]:
        """Arguments, with paths below /opt/ml as they are on this machine."""
        return [self._here(word) for word in words]

    def variables(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Environment variables, likewise; and the container's own folders."""
        here = {name: self._here(value) for name, value in environment.items()}
        return {**here, **{name: str(self.root / "home") for name in OWN_FOLDERS}}

    def last_words(self, lines: int = 5) -> str:
        """The end of what its program has printed."""
        said = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([line for line in said if line.strip()][-lines:])[-1_024:]

    def remove(self) -> None:
        """Delete all of it."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _here(self, word: str) -> str:
        return f"{self.ml}{word.removeprefix(_ML)}" if word == _ML or word.startswith(f"{_ML}/") else word
