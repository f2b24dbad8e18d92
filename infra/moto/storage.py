"""moto's S3 from inside its process: single objects, archives of folders, and what lies below a prefix."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from moto.s3.models import s3_backends


def read(account: str, uri: str) -> bytes:
    """The object at `s3://BUCKET/KEY`; raises `FileNotFoundError` if there is none."""
    bucket, key = _split(uri)
    backend = s3_backends[account]["aws"]
    found = backend.get_object(bucket, key) if bucket in backend.buckets else None
    if found is None:
        raise FileNotFoundError(f"{uri}: there is no such object")
    return bytes(found.value)


def write(account: str, uri: str, content: bytes) -> None:
    """Put an object; raises moto's `MissingBucket` if there is no such bucket."""
    bucket, key = _split(uri)
    s3_backends[account]["aws"].put_object(bucket, key, content)


def fetch(account: str, uri: str, folder: Path) -> None:
    """Write the object at `uri`, or all that is below it, into `folder`."""
    bucket, prefix = _split(uri)
    for key in _keys(account, bucket, prefix):
        name = key.removeprefix(prefix).lstrip("/") or key.rsplit("/", 1)[-1]
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(read(account, f"s3://{bucket}/{key}"))


def store(account: str, folder: Path, uri: str) -> None:
    """Put every file of `folder` below `uri`."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        write(account, f"{uri.rstrip('/')}/{file.relative_to(folder)}", file.read_bytes())


def unpack(archive: bytes, folder: Path) -> None:
    """Write what a .tar.gz holds into `folder`; raises `tarfile.TarError` if it would write elsewhere."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as packed:
        packed.extractall(folder, filter="data")


def pack(folder: Path) -> bytes:
    """A .tar.gz of all that `folder` holds."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as packed:
        for path in sorted(folder.iterdir()):
            packed.add(path, path.name)
    return content.getvalue()


def _split(uri: str) -> tuple[str, str]:
    address = urlsplit(uri)
    if address.scheme != "s3" or not address.netloc:
        raise FileNotFoundError(f"{uri} is no s3://BUCKET/KEY")
    return address.netloc, address.path.lstrip("/")


def _keys(account: str, bucket: str, prefix: str) -> Iterator[str]:
    backend = s3_backends[account]["aws"]
    if bucket in backend.buckets:
        yield from (key for key in list(backend.buckets[bucket].keys) if key.startswith(prefix))
