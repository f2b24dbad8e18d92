"""A bucket of S3, and local folders that are kept as a prefix of it is.

Objects are whole or not there, whatever is killed meanwhile, and so are the files that are made of them. What both
sides have already is not moved again: beside a folder's files lies a note of the ETag that each had in the bucket, and
of the size and time stamp that it had here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

import msgspec
from botocore.exceptions import ClientError

from adapters.aws.clients import answering, aws_client, error_code
from adapters.runtime.files import atomic_path, write_atomically
from cardwatch.errors import Misconfigured, ObjectMissing, StorageUnavailable, Superseded

CHUNK_BYTES: Final = 1 << 20
CALLS_AT_ONCE: Final = 8

_MISSING: Final = {"NoSuchKey", "404"}
_NOT_REPLACED: Final = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}


class StoredObject(NamedTuple):
    """An object as a listing tells of it. `etag` changes with the content."""

    key: str
    size: int
    etag: str
    stored_at: datetime


class _Note(msgspec.Struct, frozen=True, array_like=True):
    """What is known of a file that is the same on both sides."""

    etag: str
    size: int
    changed_ns: int


class Bucket:
    """The bucket `name`. `client` is for tests.

    Every call raises `StorageUnavailable` if S3 does not answer or is throttled, `Misconfigured` if it refuses: no such
    bucket, no right to do so.
    """

    def __init__(self, name: str, *, client: Any = None) -> None:
        self.name = name
        self._client = client or aws_client("s3", read_seconds=60)
        self._where = f"S3 bucket {name}"

    def objects(self, prefix: str, *, after: str = "") -> Iterator[StoredObject]:
        """The objects whose keys begin with `prefix` and come after the key `after`, by key."""
        start = {"StartAfter": after} if after else {}
        for page in self._pages(Prefix=prefix, **start):
            for found in page.get("Contents", []):
                yield StoredObject(found["Key"], int(found["Size"]), found["ETag"], found["LastModified"])

    def folders(self, prefix: str) -> list[str]:
        """What comes between `prefix` and the next slash in any key, without repeats."""
        pages = self._pages(Prefix=prefix, Delimiter="/")
        found = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", [])]
        return [each.removeprefix(prefix).rstrip("/") for each in found]

    def get(self, key: str, *, first_byte: int = 0) -> bytes:
        """An object's content from `first_byte` on, which it must have. Raises `ObjectMissing`."""
        part = {"Range": f"bytes={first_byte}-"} if first_byte else {}
        with self._reading(key):
            content: bytes = self._client.get_object(Bucket=self.name, Key=key, **part)["Body"].read()
        return content

    def find(self, key: str) -> bytes | None:
        """An object's content, None if there is no such object."""
        return self.get(key) if self.has(key) else None

    def has(self, key: str) -> bool:
        """Whether there is such an object. Asked by listing: a reader of a few prefixes is denied what is not there."""
        first = next(self.objects(key), None)
        return first is not None and first.key == key

    def download(self, key: str, path: Path) -> str:
        """Make a file of an object, whatever its size; gives the object's ETag. Raises `ObjectMissing`."""
        with self._reading(key), atomic_path(path) as temporary:
            answer = self._client.get_object(Bucket=self.name, Key=key)
            with temporary.open("wb") as file:
                for chunk in answer["Body"].iter_chunks(CHUNK_BYTES):
                    file.write(chunk)
        return str(answer["ETag"])

    def put(self, key: str, content: bytes | Path, *, replaces: str | None = None) -> str:
        """Store bytes, or a file of at most 5 GB; gives the new ETag.

        `replaces`: only in the place of the object that has this ETag; empty: only if there is none. Raises
        `Superseded` if it is otherwise, and then changes nothing.
        """
        condition: dict[str, str] = {}
        if replaces is not None:
            condition = {"IfMatch": replaces} if replaces else {"IfNoneMatch": "*"}
        with answering(self._where, StorageUnavailable):
            try:
                if isinstance(content, Path):
                    with content.open("rb") as file:
                        answer = self._client.put_object(Bucket=self.name, Key=key, Body=file, **condition)
                else:
                    answer = self._client.put_object(Bucket=self.name, Key=key, Body=content, **condition)
            except ClientError as error:
                if condition and error_code(error) in _NOT_REPLACED | _MISSING:
                    raise Superseded(f"{self._where}: somebody else has written {key} meanwhile") from error
                raise
        return str(answer["ETag"])

    def fetch_folder(self, prefix: str, folder: Path, *, wanted: Callable[[str], bool] = bool) -> None:
        """Make `folder` hold the objects under `prefix`, each as the file that its key names from there on.

        Only those whose names `wanted` says; only those that are not here as they are there. No file is removed.
        """
        note = self._note_file(folder, prefix)
        notes = _read_notes(note)
        changed = [
            (name, found)
            for found in self.objects(prefix)
            if wanted(name := found.key.removeprefix(prefix)) and not _is_same(folder / name, notes.get(name), found)
        ]
        with ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="s3") as threads:
            etags = threads.map(lambda each: self.download(each[1].key, _inside(folder, each[0])), changed)
            notes |= {name: _noted(folder / name, etag) for (name, _), etag in zip(changed, etags, strict=True)}
        if changed:
            _write_notes(note, notes)

    def store_folder(self, folder: Path, prefix: str, *, wanted: Callable[[str], bool] = bool) -> None:
        """Store the files of `folder` under `prefix`, those that `wanted` says and that are not stored as they are.

        Names that begin with a dot are passed over. No object is removed.
        """
        note = self._note_file(folder, prefix)
        notes = _read_notes(note)
        names = [str(PurePosixPath(path.relative_to(folder))) for path in sorted(folder.rglob("[!.]*"))]
        changed = [
            name
            for name in names
            if (folder / name).is_file() and wanted(name) and not _is_noted(folder / name, notes.get(name))
        ]
        with ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="s3") as threads:
            etags = threads.map(lambda name: self.put(prefix + name, folder / name), changed)
            notes |= {name: _noted(folder / name, etag) for name, etag in zip(changed, etags, strict=True)}
        if changed:
            _write_notes(note, notes)

    def _note_file(self, folder: Path, prefix: str) -> Path:
        """What is known of a folder is known of it and one prefix of one bucket."""
        return folder / f".in-{self.name}-{prefix.replace('/', '-')}.json"

    def _pages(self, **arguments: Any) -> Iterator[Mapping[str, Any]]:
        with answering(self._where, StorageUnavailable):
            yield from self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, **arguments)

    @contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        with answering(self._where, StorageUnavailable):
            try:
                yield
            except ClientError as error:
                if error_code(error) in _MISSING:
                    raise ObjectMissing(f"{self._where} has no {key}") from error
                raise


def _inside(folder: Path, name: str) -> Path:
    """The path of a name in a folder; raises `Misconfigured` for one that leads out of it."""
    if ".." in PurePosixPath(name).parts or name.startswith("/"):
        raise Misconfigured(f"the object {name!r} would be written outside of {folder}")
    return folder / name


def _read_notes(file: Path) -> dict[str, _Note]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, _Note])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}


def _write_notes(file: Path, notes: Mapping[str, _Note]) -> None:
    write_atomically(file, msgspec.json.encode(notes))


def _noted(path: Path, etag: str) -> _Note:
    stat = path.stat()
    return _Note(etag, stat.st_size, stat.st_mtime_ns)


def _is_noted(path: Path, note: _Note | None) -> bool:
    return note is not None and path.is_file() and _noted(path, note.etag) == note


def _is_same(path: Path, note: _Note | None, found: StoredObject) -> bool:
    return note is not None and note.etag == found.etag and note.size == found.size and _is_noted(path, note)
