"""The floor: what BentoML's server needs to answer at all, without anything of ours.

It stands where the scoring service stands, an application in place of BentoML's behind the same server and options. It
reads a request's body and gives an answer of the size of a score that was made beforehand.
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
_REST: Final = {"type": "http.response.body", "body": _BODY}


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """An ASGI application: every request gets the same answer."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    while (await receive()).get("more_body"):
        pass
    await send(_START)
    await send(_REST)


async def _live(receive: Receive, send: Send) -> None:
    for done in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{done}.complete"})


class BareService(bentoml.Service):
    """A BentoML service of which only the server is left."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        return answer


@bentoml.service(
    name="floor",
    service_class=BareService,
    workers=1,
    logging={"access": {"enabled": False}},
)
class Floor:
    """Answers; see above."""
