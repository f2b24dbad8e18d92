"""The floor: the time that BentoML's server needs for a response without any work of the application.

Like the scoring service, it replaces BentoML's application behind the same server with the same options. It reads the
body of a request and sends a constant response of the size of a score.
"""

from __future__ import annotations

from typing import Final

import bentoml
from starlette.types import ASGIApp, Receive, Scope, Send

_BODY: Final = b'{"answer":"' + b"x" * 187 + b'"}'
_START: Final = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_BODY))],
}
_END: Final = {"type": "http.response.body", "body": _BODY}


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Send the same response to every request, as an ASGI application."""
    if scope["type"] == "lifespan":
        await _run_lifespan(receive, send)
        return
    while (await receive()).get("more_body"):
        pass
    await send(_START)
    await send(_END)


async def _run_lifespan(receive: Receive, send: Send) -> None:
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})


class BareService(bentoml.Service):
    """A BentoML service whose application is replaced."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        return answer


@bentoml.service(name="floor", service_class=BareService, workers=1, logging={"access": {"enabled": False}})
class Floor:
    """Send a constant response."""
