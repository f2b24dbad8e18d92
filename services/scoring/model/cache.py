"""The newest champion on disk: for a worker that comes back, and for one that starts while the registry is away."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from adapters.runtime.files import write_atomically
from cardwatch.detector.detector import digest_of
from cardwatch.errors import CorruptModel
from cardwatch.registry import ModelVersion

_HASH_BYTES: Final = hashlib.sha256().digest_size

log = logging.getLogger(__name__)


class CachedModel(Struct, frozen=True):
    """A version and its files. On disk a SHA-256 of these bytes comes first: the digest says nothing of `version`."""

    version: ModelVersion
    files: dict[str, bytes]


class NoModelCache:
    """In place of `ModelCache`, for a source that is on this machine's disk itself."""

    file: Final = None

    def keep(self, version: ModelVersion, files: dict[str, bytes]) -> None:
        """Nothing."""

    def read(self) -> None:
        """Nothing was kept."""

    def files_of(self, wanted: ModelVersion) -> None:
        """None of them was."""


class ModelCache:
    """One file, replaced as a whole; any number of workers may read and write it."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def keep(self, version: ModelVersion, files: dict[str, bytes]) -> None:
        """Replace what was kept. If the disk does not take it, that is logged and no more: serving goes on."""
        content = msgspec.msgpack.encode(CachedModel(version, files))
        try:
            write_atomically(self.file, hashlib.sha256(content).digest() + content)
        except OSError as error:
            log.warning("the champion cannot be kept for a start without the registry: %s", error)

    def read(self) -> CachedModel | None:
        """What was kept, None if nothing was; raises `CorruptModel` if it is damaged or cannot be read."""
        try:
            content = self.file.read_bytes()
            if hashlib.sha256(content[_HASH_BYTES:]).digest() != content[:_HASH_BYTES]:
                raise CorruptModel("its bytes have changed")
            kept = msgspec.msgpack.decode(content[_HASH_BYTES:], type=CachedModel)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise CorruptModel(str(error)) from error
        if digest_of(kept.files) != kept.version.digest:
            raise CorruptModel("its files are not those of its digest")
        return kept

    def files_of(self, wanted: ModelVersion) -> dict[str, bytes] | None:
        """The wanted version's files, if it is the one that was kept, and whole."""
        try:
            kept = self.read()
        except CorruptModel:
            return None
        return kept.files if kept and kept.version == wanted else None
