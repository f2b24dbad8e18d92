"""Hands frames from the feed's thread to the pages, which an event loop serves. Each frame is encoded once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

import msgspec

from cardwatch.live.frames import Frame

QUEUE_LENGTH: Final = 40
"""Messages that may wait for a page, ten seconds of them; a slower page is disconnected, and connects again."""
MAX_PAGES: Final = 200
"""Pages that may be open at the same time."""


class Broadcaster:
    """Pages subscribe on the event loop; `publish` may be called by any thread."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pages: set[asyncio.Queue[bytes | None]] = set()
        self._newest: bytes = b""
        self._past: Callable[[], Sequence[Frame]] = list

    @property
    def pages(self) -> int:
        """Number of open pages."""
        return len(self._pages)

    def publish(self, frames: Sequence[Frame], past: Callable[[], Sequence[Frame]]) -> None:
        """Send frames, the first of which describes the moment, to all pages; `past` gives what a new page needs."""
        self._newest, self._past = server_sent(frames[:1]), past
        if self._loop is not None and self._pages:
            self._loop.call_soon_threadsafe(self._send, server_sent(frames))

    async def subscribe(self) -> AsyncIterator[bytes]:
        """Yield messages for one page: first the past and the newest moment, then everything that is published."""
        self._loop = asyncio.get_running_loop()
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE_LENGTH)
        self._pages.add(queue)
        try:
            yield server_sent(self._past()) + self._newest
            while (message := await queue.get()) is not None:
                yield message
        finally:
            self._pages.discard(queue)

    def close(self) -> None:
        """End the streams of all pages."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._disconnect, set(self._pages))

    def _send(self, message: bytes) -> None:
        slow = {page for page in self._pages if page.full()}
        for page in self._pages - slow:
            page.put_nowait(message)
        self._disconnect(slow)

    def _disconnect(self, pages: set[asyncio.Queue[bytes | None]]) -> None:
        for page in pages:
            self._pages.discard(page)
            while not page.empty():
                page.get_nowait()
            page.put_nowait(None)


def server_sent(frames: Sequence[Frame]) -> bytes:
    """Return the frames as server-sent events, one event per frame."""
    return b"".join(b"data: " + msgspec.json.encode(frame) + b"\n\n" for frame in frames)
