"""An identity provider with one client: its tokens are unsigned JWTs, which Kafka's unsecured validator accepts."""

from __future__ import annotations

import json
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qs, unquote_plus

from adapters.runtime.addresses import HttpUrl, Secret
from adapters.runtime.clock import epoch_ms
from adapters.runtime.kafka_connection import OAUTHBEARER, OIDC, KafkaConnection
from adapters.runtime.ports import LOOPBACK

CLIENT_ID: Final = "card watch"
CLIENT_SECRET: Final = "s3cret @/#%:+"  # noqa: S105
SCOPE: Final = "kafka"
"""Scope that the broker wants in a token; the endpoint also grants others, but not all."""
_GRANTED: Final = (SCOPE, "other")


class TokenEndpoint:
    """A server on the loopback interface. `lifetime_seconds` is the life of its next tokens, `grants` counts them."""

    def __init__(self, lifetime_seconds: int = 300) -> None:
        self.lifetime_seconds = lifetime_seconds
        self.grants: list[str] = []
        self.refusal: tuple[int, bytes] | None = None
        """Status and body of every answer, instead of a token."""
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                status, body = endpoint._answer(self.headers.get("Authorization", ""), form)
                self.send_response(status)
                self.send_header("Location", f"{endpoint.url}/elsewhere")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Write nothing."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._server.server_port}/token"

    def connection(self, bootstrap: str) -> KafkaConnection:
        """The right way to log in to a broker with tokens of this endpoint, without TLS."""
        return KafkaConnection(
            bootstrap,
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism=OAUTHBEARER,
            username=CLIENT_ID,
            password=Secret(CLIENT_SECRET),
            token_provider=OIDC,
            token_url=HttpUrl.parse(self.url),
            token_scope=SCOPE,
        ).validated()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, authorization: str, form: Mapping[str, list[str]]) -> tuple[int, bytes]:
        if self.refusal is not None:
            return self.refusal
        scheme, _, login = authorization.partition(" ")
        user, _, password = b64decode(login).decode().partition(":")
        if (scheme, unquote_plus(user), unquote_plus(password)) != ("Basic", CLIENT_ID, CLIENT_SECRET):
            return 401, b'{"error": "invalid_client", "error_description": "the secret is s3cret"}'
        if form.get("grant_type") != ["client_credentials"]:
            return 400, b'{"error": "unsupported_grant_type"}'
        [scope] = form.get("scope", [SCOPE])
        if scope not in _GRANTED:
            return 400, b'{"error": "invalid_scope"}'
        now = epoch_ms() / 1_000
        claims = {"sub": CLIENT_ID, "scope": scope, "iat": now - 1, "exp": now + self.lifetime_seconds}
        token = f"{_encoded({'alg': 'none'})}.{_encoded(claims)}."
        self.grants.append(token)
        return 200, json.dumps({"access_token": token, "expires_in": self.lifetime_seconds}).encode()


def _encoded(value: Mapping[str, object]) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
