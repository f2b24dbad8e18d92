"""Resources that a `with` block closes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, Self


class Closeable(Protocol):
    """A resource that is closed at the end of its `with` block. Adapters inherit from it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Release files and connections."""


@contextmanager
def closed_on_error(resource: Closeable) -> Iterator[None]:
    """Close `resource` if the block raises, for constructors that open a connection first and check it afterwards."""
    try:
        yield
    except BaseException:
        resource.close()
        raise
