"""Amazon S3: patched calls, and access to objects from inside moto's process."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from moto.core.responses import ActionResult
from moto.iam.access_control import IAMPolicyStatement, PermissionResult
from moto.s3.models import FakeDeleteMarker, s3_backends
from moto.s3.responses import S3Response

from infra.moto.patching import patch

_WITHOUT_TLS: Final = {"Bool": {"aws:SecureTransport": "false"}}

_is_action_permitted = IAMPolicyStatement.is_action_permitted
_get_bucket_notification: Final[Any] = S3Response.get_bucket_notification


@patch("s3", "bucket policies that deny requests without TLS", IAMPolicyStatement)
def is_action_permitted(statement: IAMPolicyStatement, *arguments: Any, **named: Any) -> PermissionResult:
    """moto ignores conditions, so such a policy would deny every request. Here all requests count as sent over TLS."""
    if statement._statement.get("Effect") == "Deny" and statement._statement.get("Condition") == _WITHOUT_TLS:
        return PermissionResult.NEUTRAL
    return _is_action_permitted(statement, *arguments, **named)


@patch("s3", "DeleteObjects in a bucket that was versioned before", FakeDeleteMarker)
def dispose(marker: FakeDeleteMarker) -> None:
    """moto fails because its delete markers lack this method. Terraform empties a bucket with this call."""


@patch("s3", "GetBucketNotificationConfiguration with EventBridge", S3Response)
def get_bucket_notification(response: S3Response) -> Any:
    """moto does not return that a bucket sends its events to EventBridge."""
    stored = response.backend.get_bucket_notification_configuration(response.bucket_name)
    if stored is None or stored.event_bridge is None or stored.topic or stored.queue or stored.cloud_function:
        return _get_bucket_notification(response)
    response.data["Action"] = "GetBucketNotificationConfiguration"
    return response.serialized(ActionResult({"EventBridgeConfiguration": {}}))


def read(account: str, uri: str) -> bytes:
    """Return the object at `s3://BUCKET/KEY`. Raises `FileNotFoundError` if there is none."""
    bucket, key = _split(uri)
    backend = s3_backends[account]["aws"]
    found = backend.get_object(bucket, key) if bucket in backend.buckets else None
    if found is None:
        raise FileNotFoundError(f"{uri}: the object does not exist")
    return bytes(found.value)


def write(account: str, uri: str, content: bytes) -> None:
    """Put an object. Raises moto's `MissingBucket` if the bucket does not exist."""
    bucket, key = _split(uri)
    s3_backends[account]["aws"].put_object(bucket, key, content)


def download(account: str, uri: str, folder: Path) -> None:
    """Copy the object at `uri`, or all objects whose keys begin with it, into `folder`."""
    bucket, prefix = _split(uri)
    for key in _keys(account, bucket, prefix):
        name = key.removeprefix(prefix).lstrip("/") or key.rsplit("/", 1)[-1]
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(read(account, f"s3://{bucket}/{key}"))


def upload(account: str, folder: Path, uri: str) -> None:
    """Put every file of `folder` under the prefix `uri`."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        write(account, f"{uri.rstrip('/')}/{file.relative_to(folder)}", file.read_bytes())


def unpack(archive: bytes, folder: Path) -> None:
    """Extract a .tar.gz into `folder`. Raises `tarfile.TarError` if a member would be written outside of it."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as archived:
        archived.extractall(folder, filter="data")


def pack(folder: Path) -> bytes:
    """Return a .tar.gz of the content of `folder`."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archived:
        for path in sorted(folder.iterdir()):
            archived.add(path, path.name)
    return content.getvalue()


def _split(uri: str) -> tuple[str, str]:
    address = urlsplit(uri)
    if address.scheme != "s3" or not address.netloc:
        raise FileNotFoundError(f"{uri} is not of the form s3://BUCKET/KEY")
    return address.netloc, address.path.lstrip("/")


def _keys(account: str, bucket: str, prefix: str) -> Iterator[str]:
    backend = s3_backends[account]["aws"]
    if bucket in backend.buckets:
        yield from (key for key in list(backend.buckets[bucket].keys) if key.startswith(prefix))
