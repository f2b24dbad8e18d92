"""The feature store that the settings name, opened. Vendors are imported when they are asked for: boto3 is slow."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from adapters.feature_store.lmdb import LmdbStore, data_file
from adapters.runtime.settings import Settings
from cardwatch.ports import PortableStore


class OpenStore(PortableStore, Protocol):
    """An open store; it closes itself at the end of a `with` block."""

    def __enter__(self) -> Self:
        """Itself."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


def open_store(settings: Settings) -> OpenStore:
    """The store to write to. Raises `Misconfigured`, `StoreUnavailable` or `StoreRefused`, each saying what to do."""
    return _open(settings, readonly=False)


def open_reader(settings: Settings) -> OpenStore | None:
    """The store for a process that only asks; None while nobody has made the embedded one yet."""
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
