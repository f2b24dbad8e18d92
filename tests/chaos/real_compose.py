"""The real compose, without an engine: that of Docker if it is installed, otherwise built from its Go module."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

MODULE: Final = "github.com/docker/compose/v2"
VERSION: Final = "v2.40.3"
SUM: Final = "h1:XeYkQu1svDtyfZPv5nTwFryQ25ZJMkIlc4pz9HalMPI="
"""Checksum of the module in the notation of `go.sum`."""
DOWNLOAD_SECONDS: Final = 600.0
BUILD_SECONDS: Final = 1_800.0
"""The first build compiles some 1,500 packages, which takes minutes on two cores."""


def find_compose() -> list[str] | None:
    """Return the command of compose; None without Docker's plugin and without Go.

    A built program is kept in the user's cache folder. Raises `subprocess.SubprocessError` if it cannot be built, and
    `ValueError` if the downloaded module is another than the pinned one.
    """
    if shutil.which("docker") and _run(["docker", "compose", "version"], check=False).returncode == 0:
        return ["docker", "compose"]
    program = Path.home() / ".cache" / "cardwatch" / f"docker-compose-{VERSION}"
    if not program.exists():
        if shutil.which("go") is None:
            return None
        _build(program)
    return [str(program)]


def _build(program: Path) -> None:
    # `go install` refuses a module whose go.mod has `exclude`, so the program is built inside of the downloaded copy.
    downloaded = _run(["go", "mod", "download", "-json", f"{MODULE}@{VERSION}"], seconds=DOWNLOAD_SECONDS)
    module: dict[str, Any] = json.loads(downloaded.stdout)
    if module["Sum"] != SUM:
        raise ValueError(f"{MODULE}@{VERSION} has the checksum {module['Sum']}, not {SUM}")
    program.parent.mkdir(parents=True, exist_ok=True)
    unfinished = program.with_name(f"{program.name}.{os.getpid()}")
    try:
        _run(["go", "build", "-o", str(unfinished), "./cmd"], folder=Path(module["Dir"]), seconds=BUILD_SECONDS)
        unfinished.rename(program)
    finally:
        unfinished.unlink(missing_ok=True)


def _run(
    command: list[str], *, folder: Path | None = None, check: bool = True, seconds: float = 60.0
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, check=check, capture_output=True, text=True, timeout=seconds)
