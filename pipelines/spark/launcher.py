"""Where a history outgrows one machine: its feature rows by Spark, `python -m pipelines.spark.launcher --help`.

Spark reads its environment when its Java starts, so this process becomes `pipelines.spark.backfill` in the right one.
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
    """Replace this process, keeping its id, by the one that runs Spark."""
    with run_command():
        parse_arguments()
        if find_spec("pyspark") is None:
            raise Misconfigured("pyspark is not installed: install it with `uv sync --group spark` (half a gigabyte)")
        settings = read_settings()
        environment = child_environment(settings, **spark_environment(settings))
        command = [sys.executable, "-m", "pipelines.spark.backfill", *sys.argv[1:]]
        os.execve(sys.executable, command, environment)  # noqa: S606


def parse_arguments() -> Namespace:
    """The command line: of this process, and of the one that it becomes."""
    parser = ArgumentParser(prog="python -m pipelines.spark.launcher")
    for name in ("transactions", "tables", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--master", default="local[*]")
    return parser.parse_args()


def spark_environment(settings: Settings) -> dict[str, str]:
    """What Spark must be told; raises `Misconfigured` without a Java."""
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
    """A `java` that runs this one, for Spark looks for `bin/java` in a folder.

    Spark asks for a module that speeds up its own linear algebra. Where the runtime has been made without it, as the
    wheel's has, Java would not start, so there it is not asked for.
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
