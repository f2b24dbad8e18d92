"""The real compose, without an engine: that of Docker if it is installed, otherwise built from its Go module."""

from __future__ import annotations

import shutil
import subprocess
from typing import Final

from tests.go_programs import GoProgram

COMPOSE: Final = GoProgram(
    name="docker-compose",
    module="github.com/docker/compose/v2",
    version="v2.40.3",
    checksum="h1:XeYkQu1svDtyfZPv5nTwFryQ25ZJMkIlc4pz9HalMPI=",
    folder="./cmd",
)


def find_compose() -> list[str] | None:
    """Return the command of compose; None without Docker's plugin and without Go. Raises what `GoProgram.find` does."""
    if shutil.which("docker"):
        asked = subprocess.run(["/usr/bin/env", "docker", "compose", "version"], check=False, capture_output=True)
        if asked.returncode == 0:
            return ["docker", "compose"]
    program = COMPOSE.find()
    return None if program is None else [str(program)]
