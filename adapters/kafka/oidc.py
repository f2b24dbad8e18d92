"""A token for the broker from an identity provider: OAuth 2's client credentials grant (RFC 6749, section 4.4)."""

from __future__ import annotations

import http.client
import re
import ssl
from typing import Annotated, Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import quote_plus, urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

import msgspec
from msgspec import Meta, Struct

from adapters.runtime.addresses import HttpUrl, basic_authorization, plain
from adapters.runtime.kafka_connection import PREFIX
from cardwatch.errors import BrokerUnavailable, CardwatchError, Misconfigured

TIMEOUT_SECONDS: Final = 3.0
"""Time for connecting to the token endpoint, and for each part of its answer. Shorter than the session timeout of the
stream worker, because kafka-python sends no heartbeat meanwhile."""
_MAX_ANSWER_BYTES: Final = 1_000_000
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""The characters of a bearer token (RFC 6750, section 2.1)."""
_ERROR_CODE: Final = re.compile(r"[a-z_]{1,40}")
"""Error codes of RFC 6749; any other text of an answer is not shown, because it may repeat what was sent."""
_URL: Final = f"{PREFIX}TOKEN_URL"


class TokenAnswer(Struct, frozen=True):
    """The answer of a token endpoint; `expires_in` is the life of the token in seconds."""

    access_token: str
    expires_in: Annotated[float, Meta(gt=0)]

    def __repr__(self) -> str:
        """Return its type, so that no message shows the token."""
        return "TokenAnswer(...)"


class _NoRedirects(HTTPRedirectHandler):
    """Redirects are refused: the library would send the client's secret on to the other address."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER: Final = build_opener(_NoRedirects)


def client_credentials(url: HttpUrl, client_id: str, secret: str, scope: str) -> TokenAnswer:
    """Return a new token for a client. An empty `scope` is not sent.

    Raises `BrokerUnavailable` if the endpoint does not answer now, and `Misconfigured` if it refuses the client or is
    no token endpoint. No message holds the secret or a token.
    """
    form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
    headers = {
        # RFC 6749, section 2.3.1: both are form-encoded before they are joined.
        "Authorization": basic_authorization(f"{quote_plus(client_id)}:{quote_plus(secret)}"),
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json",
    }
    request = Request(plain(url), urlencode(form).encode(), headers)  # noqa: S310 (an HttpUrl is http or https)
    try:
        with _OPENER.open(request, timeout=TIMEOUT_SECONDS) as response:
            body = response.read(_MAX_ANSWER_BYTES)
    except HTTPError as error:
        with error:
            raise _refused(error, url, client_id, scope) from None
    except (OSError, http.client.HTTPException) as error:  # includes URLError, TimeoutError and SSLError
        raise _unreachable(error, url) from error
    try:
        answer = msgspec.json.decode(body, type=TokenAnswer, strict=False)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        answer = None
    if answer is None or not _TOKEN.fullmatch(answer.access_token):
        raise Misconfigured(
            f"{_URL}={str(url)!r} answers without a token that has access_token and expires_in: it must be the token "
            "endpoint of an identity provider"
        )
    return answer


def _refused(error: HTTPError, url: HttpUrl, client_id: str, scope: str) -> CardwatchError:
    """Return what a status other than 200 means."""
    code = _error_code(error)
    said = f"{_URL}={str(url)!r} answers {error.code}{f' ({code})' if code else ''}"
    if error.code == 429 or error.code >= 500:
        return BrokerUnavailable(f"there is no token to log in with: {said}")
    if code == "invalid_scope":
        return Misconfigured(f"{said}: correct {PREFIX}TOKEN_SCOPE={scope!r}")
    if error.code == 401 or code in ("invalid_client", "unauthorized_client"):
        return Misconfigured(f"{said}: it rejects client {client_id!r}; correct {PREFIX}USERNAME or {PREFIX}PASSWORD")
    return Misconfigured(f"{said}: it must be the token endpoint itself, with the grant client_credentials")


def _error_code(error: HTTPError) -> str:
    try:
        found = msgspec.json.decode(error.read(_MAX_ANSWER_BYTES), type=dict[str, Any]).get("error")
    except (msgspec.MsgspecError, UnicodeDecodeError, OSError, http.client.HTTPException):
        return ""
    return found if isinstance(found, str) and _ERROR_CODE.fullmatch(found) else ""


def _unreachable(error: Exception, url: HttpUrl) -> CardwatchError:
    """Return what a request without an answer means."""
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return Misconfigured(
            f"the certificate of {_URL}={str(url)!r} is not trusted ({reason.verify_message}): name the file of its "
            "authority in SSL_CERT_FILE"
        )
    shown = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return BrokerUnavailable(
        f"there is no token to log in with, because {_URL}={str(url)!r} does not answer ({shown.lower()}): correct it, "
        "or start the identity provider"
    )
