"""Open pages of the console: `python -m benchmarks.open_pages URL NUMBER` reads their streams until its input ends.

It prints `open` when each page has received its first bytes. Nothing is decoded, so that the reader costs little beside
the measured processes.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

CHUNK: Final = 1 << 16


async def read_pages(url: str, number: int) -> None:
    """Read `number` streams of the console at `url`. Raises `RuntimeError` if one of them is refused or ends."""
    reading = [await _opened(url) for _ in range(number)]
    print("open", flush=True)
    streams = asyncio.gather(*(_read(stream) for stream, _ in reading))
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    done, _ = await asyncio.wait({streams, ended}, return_when=asyncio.FIRST_COMPLETED)
    if streams in done:
        raise RuntimeError("the console has ended the stream of a page")
    streams.cancel()
    with suppress(asyncio.CancelledError):
        await streams


async def _opened(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(f"GET /api/live HTTP/1.1\r\nHost: {address.netloc}\r\nAccept: text/event-stream\r\n\r\n".encode())
    status = await reader.readline()
    if b" 200 " not in status:
        raise RuntimeError(f"the console refuses a page: {status.decode(errors='replace').strip()}")
    return reader, writer


async def _read(stream: asyncio.StreamReader) -> None:
    while await stream.read(CHUNK):
        pass
    raise RuntimeError("the console has ended the stream of a page")


if __name__ == "__main__":
    asyncio.run(read_pages(sys.argv[1], int(sys.argv[2])))
