"""An S3 bucket, and synchronization of local folders with prefixes of it.

Objects and downloaded files are written atomically. Files that are equal on both sides are not transferred again: a
file in the folder records the ETag of each object, with size and time stamp of the local copy.
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

from adapters.aws.clients import aws_client, error_code, translated_errors
from adapters.runtime.files import atomic_path, write_atomically
from cardwatch.errors import Misconfigured, ObjectMissing, StorageUnavailable, Superseded

CHUNK_BYTES: Final = 1 << 20
CONCURRENT_CALLS: Final = 8
"""Number of threads that transfer objects."""

_MISSING: Final = {"NoSuchKey", "404"}
_CONFLICT: Final = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}


class StoredObject(NamedTuple):
    """An entry of a listing. `etag` changes with the content."""

    key: str
    size: int
    etag: str
    stored_at: datetime


class _SyncedFile(msgspec.Struct, frozen=True, array_like=True):
    """A file that is equal on both sides: the object's ETag, and size and time stamp of the local copy."""

    etag: str
    size: int
    changed_ns: int


class Bucket:
    """The bucket `name`. `client` is for tests.

    Every call raises `StorageUnavailable` if S3 does not answer or throttles, and `Misconfigured` if there is no such
    bucket or no permission.
    """

    def __init__(self, name: str, *, client: Any = None) -> None:
        self.name = name
        self._client = client or aws_client("s3", read_seconds=60)
        self._where = f"S3 bucket {name}"

    def objects(self, prefix: str, *, after: str = "") -> Iterator[StoredObject]:
        """Yield the objects whose keys begin with `prefix` and sort after the key `after`, in the order of keys."""
        start = {"StartAfter": after} if after else {}
        for page in self._pages(Prefix=prefix, **start):
            for found in page.get("Contents", []):
                yield StoredObject(found["Key"], int(found["Size"]), found["ETag"], found["LastModified"])

    def folders(self, prefix: str) -> list[str]:
        """Return the distinct names between `prefix` and the next slash of the keys."""
        pages = self._pages(Prefix=prefix, Delimiter="/")
        found = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", [])]
        return [each.removeprefix(prefix).rstrip("/") for each in found]

    def get(self, key: str, *, first_byte: int = 0) -> bytes:
        """Return an object's content from `first_byte` on, which must exist. Raises `ObjectMissing`."""
        part = {"Range": f"bytes={first_byte}-"} if first_byte else {}
        with self._reading(key):
            content: bytes = self._client.get_object(Bucket=self.name, Key=key, **part)["Body"].read()
        return content

    def find(self, key: str) -> bytes | None:
        """Return an object's content, None if there is no such object."""
        return self.get(key) if self.has(key) else None

    def has(self, key: str) -> bool:
        """Whether the object exists. It uses a listing, because S3 denies limited roles the HEAD of missing objects."""
        first = next(self.objects(key), None)
        return first is not None and first.key == key

    def download(self, key: str, path: Path) -> str:
        """Download an object of any size to a file and return its ETag. Raises `ObjectMissing`."""
        with self._reading(key), atomic_path(path) as temporary:
            answer = self._client.get_object(Bucket=self.name, Key=key)
            with temporary.open("wb") as file:
                for chunk in answer["Body"].iter_chunks(CHUNK_BYTES):
                    file.write(chunk)
        return str(answer["ETag"])

    def put(self, key: str, content: bytes | Path, *, replaces: str | None = None) -> str:
        """Store bytes, or a file of at most 5 GB, and return the new ETag.

        With `replaces`, the object is only stored if the present one has this ETag; with an empty one, only if there is
        no object. Otherwise it raises `Superseded` and changes nothing.
        """
        condition: dict[str, str] = {}
        if replaces is not None:
            condition = {"IfMatch": replaces} if replaces else {"IfNoneMatch": "*"}
        with translated_errors(self._where, StorageUnavailable):
            try:
                if isinstance(content, Path):
                    with content.open("rb") as file:
                        answer = self._client.put_object(Bucket=self.name, Key=key, Body=file, **condition)
                else:
                    answer = self._client.put_object(Bucket=self.name, Key=key, Body=content, **condition)
            except ClientError as error:
                if condition and error_code(error) in _CONFLICT | _MISSING:
                    raise Superseded(f"{self._where}: another process has written {key}") from error
                raise
        return str(answer["ETag"])

    def fetch_folder(self, prefix: str, folder: Path, *, wanted: Callable[[str], bool] = bool) -> None:
        """Download the objects under `prefix` to `folder`, each to the path that follows `prefix` in its key.

        `wanted` selects by that path. Objects whose local copy is equal are skipped. No file is removed.
        """
        synced = self._read_synced(folder, prefix)
        changed = [
            name
            for found in self.objects(prefix)
            if wanted(name := found.key.removeprefix(prefix)) and not _is_same(folder / name, synced.get(name), found)
        ]
        self._transfer(changed, lambda name: self.download(prefix + name, _inside(folder, name)), folder, prefix)

    def store_folder(self, folder: Path, prefix: str, *, wanted: Callable[[str], bool] = bool) -> None:
        """Upload the files of `folder` under `prefix`. `wanted` selects by path.

        Files that are stored already, and names that begin with a dot, are skipped. No object is removed.
        """
        synced = self._read_synced(folder, prefix)
        names = [str(PurePosixPath(path.relative_to(folder))) for path in sorted(folder.rglob("[!.]*"))]
        changed = [
            name
            for name in names
            if (folder / name).is_file() and wanted(name) and not _is_unchanged(folder / name, synced.get(name))
        ]
        self._transfer(changed, lambda name: self.put(prefix + name, folder / name), folder, prefix)

    def _transfer(self, names: list[str], transfer: Callable[[str], str], folder: Path, prefix: str) -> None:
        """Transfer files concurrently, and record the ETags that `transfer` returns."""
        if not names:
            return
        with ThreadPoolExecutor(CONCURRENT_CALLS, thread_name_prefix="s3") as threads:
            etags = threads.map(transfer, names)
            synced = {name: _synced(folder / name, etag) for name, etag in zip(names, etags, strict=True)}
        content = msgspec.json.encode(self._read_synced(folder, prefix) | synced)
        write_atomically(self._sync_file(folder, prefix), content)

    def _sync_file(self, folder: Path, prefix: str) -> Path:
        """Return the file with the sync records of the folder and one prefix of one bucket."""
        return folder / f".in-{self.name}-{prefix.replace('/', '-')}.json"

    def _read_synced(self, folder: Path, prefix: str) -> dict[str, _SyncedFile]:
        try:
            return msgspec.json.decode(self._sync_file(folder, prefix).read_bytes(), type=dict[str, _SyncedFile])
        except (FileNotFoundError, msgspec.DecodeError):
            return {}

    def _pages(self, **arguments: Any) -> Iterator[Mapping[str, Any]]:
        with translated_errors(self._where, StorageUnavailable):
            yield from self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, **arguments)

    @contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        with translated_errors(self._where, StorageUnavailable):
            try:
                yield
            except ClientError as error:
                if error_code(error) in _MISSING:
                    raise ObjectMissing(f"{self._where} has no {key}") from error
                raise


def _inside(folder: Path, name: str) -> Path:
    """Return the path of `name` in `folder`. Raises `Misconfigured` for a path outside of it."""
    if ".." in PurePosixPath(name).parts or name.startswith("/"):
        raise Misconfigured(f"the object {name!r} would be written outside of {folder}")
    return folder / name


def _synced(path: Path, etag: str) -> _SyncedFile:
    stat = path.stat()
    return _SyncedFile(etag, stat.st_size, stat.st_mtime_ns)


def _is_unchanged(path: Path, known: _SyncedFile | None) -> bool:
    return known is not None and path.is_file() and _synced(path, known.etag) == known


def _is_same(path: Path, known: _SyncedFile | None, found: StoredObject) -> bool:
    return known is not None and (known.etag, known.size) == (found.etag, found.size) and _is_unchanged(path, known)
