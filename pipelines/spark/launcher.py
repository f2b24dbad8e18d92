"""Spark backfill for histories that exceed one machine: `python -m pipelines.spark.launcher --help`.

Spark reads its environment when its Java process starts, so this process replaces itself by `pipelines.spark.backfill`
with the environment set.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from adapters.runtime.java import Java, find_java
from adapters.runtime.settings import Settings, child_environment, read_settings
from cardwatch.errors import Misconfigured
from pipelines.command import run_command

VECTOR_MODULE: Final = "jdk.incubator.vector"


def main() -> None:
    """Replace this process by the Spark job. The process id stays the same."""
    with run_command():
        parse_arguments()
        if find_spec("pyspark") is None:
            raise Misconfigured("pyspark is not installed: install it with `uv sync --group spark` (half a gigabyte)")
        settings = read_settings()
        environment = child_environment(settings, **spark_environment(settings))
        command = [sys.executable, "-m", "pipelines.spark.backfill", *sys.argv[1:]]
        os.execve(sys.executable, command, environment)  # noqa: S606


def parse_arguments() -> Namespace:
    """Parse the command line, which this process and the Spark job share."""
    parser = ArgumentParser(prog="python -m pipelines.spark.launcher")
    for name in ("transactions", "tables", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--master", default="local[*]")
    return parser.parse_args()


def spark_environment(settings: Settings) -> dict[str, str]:
    """Return the environment variables of Spark. Raises `Misconfigured` if there is no Java runtime."""
    home = settings.home.absolute() / "spark"
    scratch = home / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    _write_launcher(home / "java" / "bin" / "java", find_java(settings.java))
    return {
        "JAVA_HOME": str(home / "java"),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_DIRS": str(scratch),
    }


def _write_launcher(path: Path, java: Java) -> None:
    """Write a script `java` that runs this runtime, because Spark looks for `bin/java` in a folder.

    Spark adds a module for its linear algebra. Runtimes without this module, such as that of the wheel, do not start
    with it, so the script removes the argument for them.
    """
    modules = subprocess.run([java.path, "--list-modules"], capture_output=True, text=True, check=False).stdout
    unwanted = "" if f"{VECTOR_MODULE}@" in modules else f"--add-modules={VECTOR_MODULE}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "#!/bin/sh\n"
        "for argument; do\n"
        "  shift\n"
        f'  [ "$argument" = "{unwanted}" ] || set -- "$@" "$argument"\n'
        "done\n"
        f'exec {shlex.quote(str(java.path))} "$@"\n'
    )
    path.chmod(0o755)


if __name__ == "__main__":
    main()
