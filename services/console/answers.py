"""What the handlers of the console's HTTP interface share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeAlias

import msgspec
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response

from cardwatch.errors import InvalidRecord

MAX_BODY_BYTES: Final = 65_536

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]


class GuardedEndpoint(NamedTuple):
    """A handler, its path and its method. `ConsoleRoutes` guards it like its own."""

    path: str
    handle: Handler
    method: str


class LogNumber(Convertor[int]):
    """A partition or an offset in a path: at most 18 digits. Offsets have 64 bits, and `int` refuses 5,000 digits."""

    regex = "[0-9]{1,18}"

    def convert(self, value: str) -> int:
        """Return the number."""
        return int(value)

    def to_string(self, value: int) -> str:
        """Return the digits."""
        return str(value)


register_url_convertor("number", LogNumber())


def json_response(content: object) -> Response:
    """Return a response with the JSON form of `content`."""
    return Response(msgspec.json.encode(content), media_type="application/json")


async def body_of(request: Request) -> bytes:
    """Return the body. Raises `InvalidRecord` for one that is too large, before all of it is read."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise InvalidRecord(f"a request may have {MAX_BODY_BYTES:,} bytes")
    return body
