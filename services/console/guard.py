"""Who may ask the console: requests to its own address only, and changes only from its own page, with the token.

A page of another site can make a browser send requests to loopback. It cannot set `Host` (so a name that was rebound
to 127.0.0.1 is refused), its requests carry its own `Origin`, and it does not know the token.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final, NamedTuple

from starlette.requests import Request

TOKEN_HEADER: Final = "X-Cardwatch-Token"  # noqa: S105 (the name of a header)


class Refusal(NamedTuple):
    """Why a request is refused."""

    status: HTTPStatus
    reason: str


class Guard:
    """Checks requests. `hosts` are the values of `Host` under which the console may be asked."""

    def __init__(self, hosts: Iterable[str], token: str) -> None:
        self._hosts = frozenset(hosts)
        self._token = token.encode()

    def refusal(self, request: Request) -> Refusal | None:
        """Return why this request is refused, None if it is allowed."""
        host = request.headers.get("host", "")
        if host not in self._hosts:
            return Refusal(HTTPStatus.MISDIRECTED_REQUEST, f"this console is not {host!r:.80}")
        origin = request.headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return Refusal(HTTPStatus.FORBIDDEN, f"a page of {origin!r:.80} may not ask this console")
        if request.method in ("GET", "HEAD"):
            return None
        token = request.headers.get(TOKEN_HEADER, "")
        if not hmac.compare_digest(token.encode(errors="surrogateescape"), self._token):
            return Refusal(
                HTTPStatus.UNAUTHORIZED,
                f"the header {TOKEN_HEADER} is missing or wrong: open the address with the token, which "
                "`cardwatch console` prints, or `python -m infra.compose addresses` for containers",
            )
        return None
