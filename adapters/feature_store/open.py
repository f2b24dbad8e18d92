"""Opening the feature store of the settings. Client libraries are imported on demand, because boto3 is slow."""

from __future__ import annotations

from typing import Protocol

from adapters.feature_store.lmdb import LmdbStore, data_file
from adapters.runtime.closeable import Closeable
from adapters.runtime.settings import Settings
from cardwatch.ports import PortableStore


class OpenStore(PortableStore, Closeable, Protocol):
    """An open feature store."""


def open_store(settings: Settings) -> OpenStore:
    """Return the store for reading and writing. Raises `Misconfigured`, `StoreUnavailable` or `StoreRefused`."""
    return _open(settings, readonly=False)


def open_reader(settings: Settings) -> OpenStore | None:
    """Return the store for reading, None while the embedded store does not exist yet."""
    if not settings.store_url and not data_file(settings.store).exists():
        return None
    return _open(settings, readonly=True)


def _open(settings: Settings, *, readonly: bool) -> OpenStore:
    url = settings.store_url
    if url.startswith("dynamodb://"):
        from adapters.feature_store.dynamodb import DynamoDbStore  # noqa: PLC0415

        return DynamoDbStore(url, readonly=readonly)
    if url:
        from adapters.feature_store.redis import RedisStore  # noqa: PLC0415

        return RedisStore(url, readonly=readonly)
    return LmdbStore(settings.store, readonly=readonly)
