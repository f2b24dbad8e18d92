"""A model as files: in a folder, where a scoring container finds it, and as the `model.tar.gz` unpacked there.

Beside the detector's files lies `version.json`, the `ModelVersion`: what a registry would say about them. Its digest is
that of all the other files. Whoever writes a model and whoever reads one checks it, so nothing damaged is taken for a
model. It does not say who wrote the files: that is for the permissions of the bucket, or of the disk.
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
from cardwatch.detector.detector import digest_of
from cardwatch.errors import CorruptModel, NoChampion
from cardwatch.registry import CHAMPION, ModelVersion

VERSION_FILE: Final = "version.json"
MAX_MODEL_BYTES: Final = 256 << 20
"""Of an unpacked archive; a model of 300 trees has about one of these megabytes."""

_VERSION: Final = msgspec.json.Decoder(ModelVersion)


class ModelFolder:
    """The model in a folder as a source of models: it is the champion, and there is no other.

    The folder is read whenever it is asked about, so that a model put in its place is noticed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def close(self) -> None:
        """Nothing is held open."""

    def aliases(self) -> dict[str, str]:
        """`champion` and its version; empty without a `version.json`. Raises `CorruptModel` if that is unsound."""
        found = self._version()
        return {CHAMPION: found.version} if found else {}

    def no_champion(self) -> NoChampion:
        """What to raise where there is none."""
        return _no_model(self._folder)

    def version(self, version: str) -> ModelVersion | None:
        """The model's version, None if it is another one by now."""
        found = self._version()
        return found if found and found.version == version else None

    def files(self, version: ModelVersion) -> dict[str, bytes]:
        """The model's files by name; raises `CorruptModel` if they do not have the digest of `version`."""
        files = _read(self._folder)
        files.pop(VERSION_FILE, None)
        return _checked(version, files, str(self._folder))

    def _version(self) -> ModelVersion | None:
        try:
            content = (self._folder / VERSION_FILE).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CorruptModel(f"the model's folder {self._folder} cannot be read: {error}") from error
        return _decoded(content, str(self._folder))


def write_model(folder: Path, version: ModelVersion, files: Mapping[str, bytes]) -> None:
    """Write a model into `folder`, which is made if there is none; what else it holds would belong to the model.

    `version.json` comes last: a folder without one holds no model. Raises `CorruptModel` if `files` do not have the
    digest of `version`.
    """
    for name, content in _contents(version, files).items():
        write_atomically(folder / name, content)


def read_model(folder: Path) -> tuple[ModelVersion, dict[str, bytes]]:
    """The version and the files of the model in `folder`.

    Raises `NoChampion` if it holds none, and `CorruptModel` if the files do not have the digest of the version or
    cannot be read.
    """
    contents = _read(folder)
    if VERSION_FILE not in contents:
        raise _no_model(folder)
    return _taken_apart(contents, str(folder))


def pack_model(version: ModelVersion, files: Mapping[str, bytes]) -> bytes:
    """The model as a `model.tar.gz`, the same bytes for the same model; raises as `write_model` does."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in sorted(_contents(version, files).items()):
            entry = tarfile.TarInfo(name)  # of nobody, from 1970
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=0)


def unpack_model(data: bytes) -> tuple[ModelVersion, dict[str, bytes]]:
    """The version and the files in a `model.tar.gz`; nothing is written anywhere.

    Raises `CorruptModel` for what is no such archive, for one with anything but plain files at its top, for more than
    `MAX_MODEL_BYTES`, and if the files do not have the digest of the version.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(_unzipped(data)), mode="r:") as archive:
            contents = _entries(archive)
    except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError) as error:
        raise CorruptModel(f"the model's archive cannot be read: {error}") from error
    if VERSION_FILE not in contents:
        raise CorruptModel(f"the model's archive has no {VERSION_FILE}")
    return _taken_apart(contents, "the model's archive")


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
            continue  # SageMaker packs a job's folder, and not only what is in it
        file = archive.extractfile(entry) if entry.isreg() else None
        if file is None or not _is_plain(name):
            raise CorruptModel(f"the model's archive holds {entry.name!r}, which is no plain file at its top")
        if name in contents:
            raise CorruptModel(f"the model's archive holds {name!r} twice")
        contents[name] = file.read()
    return contents


def _contents(version: ModelVersion, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """All files of a model by name, `version.json` the last."""
    if odd := [name for name in files if not _is_plain(name) or name == VERSION_FILE]:
        raise CorruptModel(f"a model has no file of the name {odd[0]!r}")
    return {**_checked(version, files, "what is to be written"), VERSION_FILE: msgspec.json.encode(version)}


def _taken_apart(contents: dict[str, bytes], where: str) -> tuple[ModelVersion, dict[str, bytes]]:
    version = _decoded(contents.pop(VERSION_FILE), where)
    return version, _checked(version, contents, where)


def _checked(version: ModelVersion, files: Mapping[str, bytes], where: str) -> dict[str, bytes]:
    found = digest_of(files)
    if found != version.digest:
        raise CorruptModel(
            f"version {version.version} in {where} has digest {found}, its {VERSION_FILE} says"
            f" {version.digest or 'none'}: files were changed, added or lost after it was written"
        )
    return dict(files)


def _decoded(content: bytes, where: str) -> ModelVersion:
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


def _is_plain(name: str) -> bool:
    return name == posixpath.basename(name) and name not in ("", ".", "..")


def _no_model(folder: Path) -> NoChampion:
    return NoChampion(f"the folder {folder} holds no model: there is no {VERSION_FILE} in it")
