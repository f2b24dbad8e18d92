"""The last served champion, cached on disk for a worker that starts while the registry is unavailable."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from adapters.runtime.files import write_atomically
from cardwatch.errors import CorruptModel
from cardwatch.registry import ModelVersion, digest_of

_HASH_BYTES: Final = hashlib.sha256().digest_size

log = logging.getLogger(__name__)


class CachedModel(Struct, frozen=True):
    """A version and its files.

    On disk the SHA-256 of these bytes precedes them, because the model's digest does not cover `version`.
    """

    version: ModelVersion
    files: dict[str, bytes]


class ModelCache:
    """A file that holds one model and is replaced atomically. Several workers may read and write it."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def write(self, version: ModelVersion, files: dict[str, bytes]) -> None:
        """Replace the cached model. A disk error is logged and not raised, so that serving continues."""
        content = msgspec.msgpack.encode(CachedModel(version, files))
        try:
            write_atomically(self.file, hashlib.sha256(content).digest() + content)
        except OSError as error:
            log.warning("the champion cannot be kept for a start without the registry: %s", error)

    def read(self) -> CachedModel | None:
        """Return the cached model, or None if there is none; raise `CorruptModel` if it is damaged or unreadable."""
        try:
            content = self.file.read_bytes()
            if hashlib.sha256(content[_HASH_BYTES:]).digest() != content[:_HASH_BYTES]:
                raise CorruptModel("its bytes have changed")
            cached = msgspec.msgpack.decode(content[_HASH_BYTES:], type=CachedModel)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise CorruptModel(str(error)) from error
        if digest_of(cached.files) != cached.version.digest:
            raise CorruptModel("its files are not those of its digest")
        return cached

    def files_of(self, version: ModelVersion) -> dict[str, bytes] | None:
        """Return the files of this version, or None if the cache holds another one or is damaged."""
        try:
            cached = self.read()
        except CorruptModel:
            return None
        return cached.files if cached and cached.version == version else None
