"""What the handlers of the console's HTTP interface share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeAlias

import msgspec
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response

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
