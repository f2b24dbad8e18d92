"""What the handlers of the console's HTTP interface share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final, NamedTuple, TypeAlias

import msgspec
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response

from adapters.scoring.api_keys import KeyScope
from cardwatch.errors import InvalidRecord

MAX_BODY_BYTES: Final = 65_536
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Headers of every response."""

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]


class GuardedEndpoint(NamedTuple):
    """A handler, its path and its method. `ConsoleRoutes` guards it like its own.

    With a `scope` the holders of an API key with this scope may call it too. Nobody else may then call it without the
    token, not even to read, and `request.state.caller` says who calls.
    """

    path: str
    handle: Handler
    method: str
    scope: KeyScope | None = None


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


async def body_of(request: Request) -> bytes:
    """Return the body. Raises `InvalidRecord` for one that is too large, before all of it is read."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise InvalidRecord(f"a request may have {MAX_BODY_BYTES:,} bytes")
    return body


def error_response(status: HTTPStatus, reason: str) -> Response:
    """Return a response that says why a request is not answered."""
    body = msgspec.json.encode({"error": reason})
    return Response(body, status_code=status, headers=HEADERS, media_type="application/json")


def json_response(content: object) -> Response:
    """Return a response with the JSON form of `content`."""
    return Response(msgspec.json.encode(content), media_type="application/json")
