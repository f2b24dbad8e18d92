"""Who may ask the console: requests to its own address only, and changes only from its own page, with the token.

A page of another site can make a browser send requests to loopback. It cannot set `Host` (so a name that was rebound
to 127.0.0.1 is refused), its requests carry its own `Origin`, and it does not know the token.

Some endpoints may also be called by programs with an API key; these need the token or a key for reading, too.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import unquote

from starlette.requests import Request

from adapters.scoring.api_keys import KeyRing, KeyScope
from cardwatch.cases.history import Investigator, require_name
from cardwatch.errors import KeyUnknown, ScopeMissing

TOKEN_HEADER: Final = "X-Cardwatch-Token"  # noqa: S105 (the name of a header)
INVESTIGATOR_HEADER: Final = "X-Cardwatch-Investigator"
"""Who acts with the token, in percent-encoding; who acts with a key is its holder."""
UNNAMED: Final = "console"


class Refusal(NamedTuple):
    """Why a request is refused."""

    status: HTTPStatus
    reason: str


class Guard:
    """Checks requests. `hosts` are the values of `Host` under which the console may be asked.

    `keys` are the API keys; without any, only the token admits.
    """

    def __init__(self, hosts: Iterable[str], token: str, keys: KeyRing | None = None) -> None:
        self._hosts = frozenset(hosts)
        self._token = token.encode()
        self._keys = keys

    def refusal(self, request: Request) -> Refusal | None:
        """Return why this request is refused, None if it is allowed."""
        if (foreign := self._foreign(request)) is not None or request.method in ("GET", "HEAD"):
            return foreign
        return None if self._has_token(request) else _no_token("")

    def admit(self, request: Request, scope: KeyScope) -> Refusal | None:
        """Return why a request is refused that takes the token or an API key with `scope`, None if it is allowed.

        Then `request.state.caller` is who calls. Raises `InvalidRecord` for a name that cannot be one.
        """
        if (foreign := self._foreign(request)) is not None:
            return foreign
        if "authorization" in request.headers:
            return self._admit_key(request, scope)
        if not self._has_token(request):
            return _no_token(f", or the header Authorization: Bearer KEY with an API key of the scope {scope.value!r}")
        name = unquote(request.headers.get(INVESTIGATOR_HEADER, UNNAMED))
        request.state.caller = Investigator(require_name(name, INVESTIGATOR_HEADER), is_supervisor=True)
        return None

    def _admit_key(self, request: Request, scope: KeyScope) -> Refusal | None:
        if self._keys is None:
            return Refusal(HTTPStatus.UNAUTHORIZED, "this console takes no API keys")
        self._keys.refresh()
        try:
            key = self._keys.check(request.headers["authorization"].encode("latin-1"), scope)
        except KeyUnknown as error:
            return Refusal(HTTPStatus.UNAUTHORIZED, str(error))
        except ScopeMissing as error:
            return Refusal(HTTPStatus.FORBIDDEN, str(error))
        request.state.caller = Investigator(key.name, is_supervisor=KeyScope.CASES_SUPERVISE in key.scopes)
        return None

    def _foreign(self, request: Request) -> Refusal | None:
        host = request.headers.get("host", "")
        if host not in self._hosts:
            return Refusal(HTTPStatus.MISDIRECTED_REQUEST, f"this console is not {host!r:.80}")
        origin = request.headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return Refusal(HTTPStatus.FORBIDDEN, f"a page of {origin!r:.80} may not ask this console")
        return None

    def _has_token(self, request: Request) -> bool:
        token = request.headers.get(TOKEN_HEADER, "")
        return hmac.compare_digest(token.encode(errors="surrogateescape"), self._token)


def _no_token(alternative: str) -> Refusal:
    return Refusal(
        HTTPStatus.UNAUTHORIZED,
        f"the header {TOKEN_HEADER} is missing or wrong: open the address with the token, which "
        f"`cardwatch console` prints, or `python -m infra.compose addresses` for containers{alternative}",
    )
