"""Kafka's jars, pinned by `kafka_jars.lock` and fetched once into the user's Maven cache.

Each line of the lock is `group:artifact:version sha256`. The list is that of `mvn dependency:list` (runtime scope) for
`org.apache.kafka:kafka_2.13` and log4j's binding. jgo fetches each jar by its coordinates and does not resolve
dependencies, because it would choose another version of the clients than Maven does.
"""

from __future__ import annotations

import hashlib
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from cardwatch.errors import JarsUnavailable
from infra.reporting import Report

LOCK_FILE: Final = Path(__file__).with_name("kafka_jars.lock")


class Jar(Struct, frozen=True):
    """One jar of the lock: Maven coordinates `group:artifact:version`, and the hexadecimal SHA-256 of the file."""

    coordinates: str
    sha256: str

    @property
    def path(self) -> Path:
        """Path of the jar below the root of a Maven cache."""
        group, artifact, version = self.coordinates.split(":")
        return Path(*group.split("."), artifact, version, f"{artifact}-{version}.jar")


def read_lock() -> list[Jar]:
    """Return the jars that a broker needs, in the order of the lock."""
    return [Jar(*line.split()) for line in LOCK_FILE.read_text().splitlines()]


def kafka_jars(*, cache: Path | None = None, report: Report = lambda _: None) -> list[Path]:
    """Return the verified paths of all jars after fetching missing ones, which `report` announces.

    `cache` defaults to the user's Maven cache. Jars come from the repositories of jgo's configuration file, or from
    Maven Central if it names none. Raises `JarsUnavailable` for a jar that cannot be fetched or is damaged.
    """
    from jgo.config import GlobalSettings  # noqa: PLC0415 (takes a third of a second)
    from jgo.maven import MavenContext  # noqa: PLC0415

    context = MavenContext(repo_cache=cache, remote_repos=GlobalSettings.load().repositories or None)
    jars = read_lock()
    missing = [jar for jar in jars if not (context.repo_cache / jar.path).exists()]
    if missing:
        report(f"fetching {len(missing)} of Kafka's {len(jars)} jars (once)")
        _fetch(context, missing)
    paths = [context.repo_cache / jar.path for jar in jars]
    for jar, path in zip(jars, paths, strict=True):
        _verify(jar, path)
    return paths


def _fetch(context: Any, jars: list[Jar]) -> None:
    """Download to a temporary folder and move verified jars into the cache, so that no partial jar remains."""
    try:
        context.repo_cache.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(prefix=".cardwatch-", dir=context.repo_cache) as scratch,
            ThreadPoolExecutor(max_workers=4) as pool,
        ):
            aside = type(context)(repo_cache=Path(scratch), remote_repos=context.remote_repos)
            for jar, fetched in zip(jars, pool.map(lambda jar: _fetch_one(aside, jar), jars), strict=True):
                target = context.repo_cache / jar.path
                target.parent.mkdir(parents=True, exist_ok=True)
                fetched.replace(target)
    except OSError as error:
        raise JarsUnavailable(f"Maven's cache {context.repo_cache} cannot be written: {error}") from error


def _fetch_one(context: Any, jar: Jar) -> Path:
    group, artifact, version = jar.coordinates.split(":")
    try:
        path = Path(context.project(group, artifact).at_version(version).artifact().resolve())
    except Exception as error:  # jgo raises RuntimeError, AssertionError and the errors of its HTTP library
        raise JarsUnavailable(
            f"Kafka's jar {jar.coordinates} is not in the Maven cache and cannot be fetched ({_first_line(error)}). "
            "The first start needs a Maven repository: connect to the network, name a mirror under [repositories] in "
            "~/.config/jgo.conf, or set CARDWATCH_KAFKA_BOOTSTRAP to your own broker."
        ) from error
    _verify(jar, path)
    return path


def _verify(jar: Jar, path: Path) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != jar.sha256:
        raise JarsUnavailable(
            f"Kafka's jar {jar.coordinates} is damaged: {path} has SHA-256 {found}, the lock says {jar.sha256}. "
            "Delete that file and start again."
        )


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]
