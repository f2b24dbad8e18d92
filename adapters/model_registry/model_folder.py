"""A model as files: in the folder of a scoring container, and as the `model.tar.gz` that is unpacked there.

The detector's files are accompanied by `version.json`, the `ModelVersion` with a digest of all other files. Every write
and read checks the digest, so that damaged files are never used as a model. It does not authenticate the writer; the
permissions of the bucket or disk do.
"""

from __future__ import annotations

import gzip
import io
import posixpath
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from adapters.runtime.files import read_folder, write_atomically
from cardwatch.errors import CorruptModel, NoChampion
from cardwatch.registry import CHAMPION, ModelVersion, ServedAliases, digest_of

VERSION_FILE: Final = "version.json"
MAX_MODEL_BYTES: Final = 256 << 20
"""Maximum size of an unpacked archive. A model of 300 trees has about one megabyte."""

_VERSION: Final = msgspec.json.Decoder(ModelVersion)


class ModelFolder:
    """A `cardwatch.registry.ModelSource` whose only version, the champion, is the model in a folder.

    Every call reads the folder, so that a replaced model is noticed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def close(self) -> None:
        """Do nothing, because nothing is open."""

    def aliases(self) -> ServedAliases:
        """Return the version of `champion`; none without `version.json`. Raises `CorruptModel` if that is invalid."""
        found = self._version()
        return ServedAliases({CHAMPION: found.version} if found else {})

    def no_champion(self) -> NoChampion:
        """Return the error for a missing champion."""
        return NoChampion(f"the folder {self._folder} holds no model: there is no {VERSION_FILE} in it")

    def version(self, version: str) -> ModelVersion | None:
        """Return the model's version, None if it has another number."""
        found = self._version()
        return found if found and found.version == version else None

    def files(self, version: ModelVersion) -> dict[str, bytes]:
        """Return the model's files by name. Raises `CorruptModel` if they do not have the digest of `version`."""
        files = _read(self._folder)
        files.pop(VERSION_FILE, None)
        return _check_digest(version, files, str(self._folder))

    def _version(self) -> ModelVersion | None:
        try:
            content = (self._folder / VERSION_FILE).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CorruptModel(f"the model's folder {self._folder} cannot be read: {error}") from error
        return _decode_version(content, str(self._folder))


def write_model(folder: Path, version: ModelVersion, files: Mapping[str, bytes]) -> None:
    """Write a model to `folder`, which is created if necessary and must not contain other files.

    `version.json` is written last, because a folder without it has no model. Raises `CorruptModel` if `files` do not
    have the digest of `version`.
    """
    for name, content in _contents(version, files).items():
        write_atomically(folder / name, content)


def pack_model(version: ModelVersion, files: Mapping[str, bytes]) -> bytes:
    """Return the model as a reproducible `model.tar.gz`. Raises the errors of `write_model`."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in sorted(_contents(version, files).items()):
            entry = tarfile.TarInfo(name)  # without owner, and with the time stamp 0
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=0)


def unpack_model(data: bytes) -> tuple[ModelVersion, dict[str, bytes]]:
    """Return version and files of a `model.tar.gz`, without writing to disk.

    Raises `CorruptModel` for an invalid archive, entries other than regular files at the top level, more than
    `MAX_MODEL_BYTES`, and files that do not have the digest of the version.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(_unzipped(data)), mode="r:") as archive:
            contents = _entries(archive)
    except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError) as error:
        raise CorruptModel(f"the model's archive cannot be read: {error}") from error
    if VERSION_FILE not in contents:
        raise CorruptModel(f"the model's archive has no {VERSION_FILE}")
    version = _decode_version(contents.pop(VERSION_FILE), "the model's archive")
    return version, _check_digest(version, contents, "the model's archive")


def _unzipped(data: bytes) -> bytes:
    with gzip.open(io.BytesIO(data)) as unzipping:
        content = unzipping.read(MAX_MODEL_BYTES + 1)
    if len(content) > MAX_MODEL_BYTES:
        raise CorruptModel(f"the model's archive holds more than {MAX_MODEL_BYTES:,} bytes")
    return content


def _entries(archive: tarfile.TarFile) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    for entry in archive:
        name = posixpath.normpath(entry.name)
        if entry.isdir() and name == ".":
            continue  # SageMaker also adds an entry for the folder itself
        file = archive.extractfile(entry) if entry.isreg() else None
        if file is None or not _is_file_name(name):
            raise CorruptModel(f"the model's archive holds {entry.name!r}, which is no regular file at its top level")
        if name in contents:
            raise CorruptModel(f"the model's archive holds {name!r} twice")
        contents[name] = file.read()
    return contents


def _contents(version: ModelVersion, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return all files of a model by name, with `version.json` last."""
    if invalid := [name for name in files if not _is_file_name(name) or name == VERSION_FILE]:
        raise CorruptModel(f"a model has no file of the name {invalid[0]!r}")
    return {**_check_digest(version, files, "what is to be written"), VERSION_FILE: msgspec.json.encode(version)}


def _check_digest(version: ModelVersion, files: Mapping[str, bytes], where: str) -> dict[str, bytes]:
    found = digest_of(files)
    if found != version.digest:
        raise CorruptModel(
            f"version {version.version} in {where} has digest {found}, its {VERSION_FILE} says"
            f" {version.digest or 'none'}: files were changed, added or lost after it was written"
        )
    return dict(files)


def _decode_version(content: bytes, where: str) -> ModelVersion:
    try:
        return _VERSION.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptModel(f"the {VERSION_FILE} in {where} cannot be read: {str(error).splitlines()[0]}") from error


def _read(folder: Path) -> dict[str, bytes]:
    try:
        return read_folder(folder)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CorruptModel(f"the model's folder {folder} cannot be read: {error}") from error


def _is_file_name(name: str) -> bool:
    return name == posixpath.basename(name) and name not in ("", ".", "..")
