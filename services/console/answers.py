"""What the handlers of the console's HTTP interface share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]


class GuardedEndpoint(NamedTuple):
    """A handler, its path and its method. `ConsoleRoutes` guards it like its own."""

    path: str
    handle: Handler
    method: str


def json_response(content: object) -> Response:
    """Return a response with the JSON form of `content`."""
    return Response(msgspec.json.encode(content), media_type="application/json")
