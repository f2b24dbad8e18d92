"""Programs in Go that tests need: built once from pinned modules, and kept in the user's cache folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

DOWNLOAD_SECONDS = 600.0
BUILD_SECONDS = 1_800.0
"""A large program has some 1,500 packages, which take minutes on two cores."""


class GoProgram(NamedTuple):
    """The program of the package `folder` of a module. `checksum` is that of the module in the notation of `go.sum`."""

    name: str
    module: str
    version: str
    checksum: str
    folder: str

    def find(self) -> Path | None:
        """Return the path of the program, which is built if it is missing; None without Go.

        Raises `subprocess.SubprocessError` if it cannot be built, and `ValueError` if the downloaded module is another
        than the pinned one.
        """
        program = Path.home() / ".cache" / "cardwatch" / f"{self.name}-{self.version}"
        if not program.exists():
            if shutil.which("go") is None:
                return None
            self._build(program)
        return program

    def _build(self, program: Path) -> None:
        # `go install` refuses a module whose go.mod has `exclude`, so it is built inside of the downloaded copy.
        downloaded = _go("mod", "download", "-json", f"{self.module}@{self.version}", seconds=DOWNLOAD_SECONDS)
        module: dict[str, Any] = json.loads(downloaded.stdout)
        if module["Sum"] != self.checksum:
            raise ValueError(f"{self.module}@{self.version} has the checksum {module['Sum']}, not {self.checksum}")
        program.parent.mkdir(parents=True, exist_ok=True)
        unfinished = program.with_name(f"{program.name}.{os.getpid()}")
        try:
            _go("build", "-o", str(unfinished), self.folder, folder=Path(module["Dir"]), seconds=BUILD_SECONDS)
            unfinished.rename(program)
        finally:
            unfinished.unlink(missing_ok=True)


def _go(*arguments: str, folder: Path | None = None, seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/usr/bin/env", "go", *arguments], cwd=folder, check=True, capture_output=True, text=True, timeout=seconds
    )
