"""HTTP clients of the scoring service."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from urllib3 import BaseHTTPResponse, Timeout, connection_from_url
from urllib3.exceptions import HTTPError, LocationValueError, ProtocolError
from urllib3.util import parse_url

from adapters.runtime.addresses import bearer_authorization, plain, split_userinfo
from adapters.runtime.retry import retry, retry_once
from adapters.runtime.settings import Settings
from adapters.scoring.wire_format import (
    BINARY,
    DEADLINE_HEADER,
    IDS_HEADER,
    PER_ROW,
    REASONS_HEADER,
    SCHEMA_HEADER,
    ExampleRequest,
    decode_complete_scores,
    decode_refusal,
    encode_ids,
    encode_rows,
    refusal_text,
)
from cardwatch.errors import Misconfigured, ScorerBusy, ScoringUnavailable
from cardwatch.ports import Scores

READ_TIMEOUT_SECONDS: Final = 5.0
BUSY_RETRY_SECONDS: Final = 0.05
"""Pause before a request is repeated that was refused because the service is busy."""

log = logging.getLogger(__name__)


class _HttpClient:
    """Keep-alive connections to the scoring service of the settings. Raise `Misconfigured` for an invalid address.

    With urllib3, because httpx takes twice the processor time, and leaves each request's body to the garbage collector.
    """

    def __init__(self, settings: Settings, *, timeout_seconds: float = READ_TIMEOUT_SECONDS) -> None:
        url, username, password = split_userinfo(settings.scoring_url.rstrip("/"))
        if username or password:
            raise Misconfigured(
                f"CARDWATCH_SCORING_URL={url} must not hold a user or password: callers identify with CARDWATCH_API_KEY"
            )
        self._name = f"the scoring service at {url}"
        self._headers = {"Authorization": bearer_authorization(plain(settings.api_key), variable="CARDWATCH_API_KEY")}
        secured = {"ssl_context": _tls_context(settings.tls_ca)} if url.startswith("https:") else {}
        try:
            self._prefix = parse_url(url).path or ""
            self._pool = connection_from_url(url, timeout=Timeout(timeout_seconds), retries=False, **secured)
        except LocationValueError as error:
            raise Misconfigured(f"{url!r} is not the address of a scoring service: {error}") from error

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def _request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> BaseHTTPResponse:
        """Return the response; raise `ScoringUnavailable` if there is none."""
        try:
            return retry_once(
                lambda: self._pool.urlopen(
                    method, self._prefix + path, body, {**self._headers, **(headers or {})}, redirect=False
                ),
                (ProtocolError,),
            )
        except HTTPError as error:
            raise ScoringUnavailable(f"{self._name} does not answer: {type(error).__name__} {error}") from error


class ScoringClient(_HttpClient):
    """A `cardwatch.ports.Scorer` over keep-alive connections. Requests carry the timeout as their deadline.

    A request that is refused because the service is busy is repeated for `busy_seconds`, because nothing is broken.
    `trace_headers` gives the headers with the trace context of each request.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        timeout_seconds: float,
        busy_seconds: float = 0.0,
        trace_headers: Callable[[], Mapping[str, str]] | None = None,
    ) -> None:
        super().__init__(settings, timeout_seconds=timeout_seconds)
        self._busy_seconds, self._trace_headers = busy_seconds, trace_headers
        deadline_ms = max(int(timeout_seconds * 1000), 1)
        self._headers |= {"Content-Type": BINARY, REASONS_HEADER: PER_ROW, DEADLINE_HEADER: str(deadline_ms)}

    def score(
        self,
        rows: NDArray[np.float32],
        reasons_above: NDArray[np.float64],
        *,
        schema_hash: str,
        transaction_ids: Sequence[str] = (),
    ) -> Scores:
        """Return the scores of float32 [n, features] rows, all by one model; see the port. Send the ids at DEBUG only.

        Raise `SchemaMismatch` if the model needs another schema than `schema_hash`, `NoModelServed` if there is none,
        `ScorerBusy` if the service is busy for longer than `busy_seconds`, and `ScoringUnavailable` for every other
        failure, also when the response takes longer than the timeout.
        """
        headers = {SCHEMA_HEADER: schema_hash}
        if transaction_ids and log.isEnabledFor(logging.DEBUG):
            headers[IDS_HEADER] = encode_ids(transaction_ids)
        if self._trace_headers is not None:
            headers.update(self._trace_headers())
        body = encode_rows(rows, reasons_above)
        try:
            return self._request_scores(body, headers, len(rows))
        except ScorerBusy:
            if not self._busy_seconds:
                raise
        time.sleep(BUSY_RETRY_SECONDS)
        return retry(
            lambda: self._request_scores(body, headers, len(rows)),
            timeout_seconds=self._busy_seconds,
            retry_seconds=BUSY_RETRY_SECONDS,
            is_transient=lambda error: isinstance(error, ScorerBusy),
        )

    def _request_scores(self, body: bytes, headers: dict[str, str], count: int) -> Scores:
        response = self._request("POST", "/invocations", headers, body)
        if response.status != HTTPStatus.OK:
            raise decode_refusal(response.status, _text(response), self._name)
        return decode_complete_scores(response.data, count, self._name)


class ServedVersionClient(_HttpClient):
    """Query the model version that the scoring service serves."""

    def version(self) -> str | None:
        """Return the served version, None if there is none yet; raise `ScoringUnavailable` for an invalid response."""
        response = self._request("GET", "/v1/model")
        try:
            served: str | None = msgspec.json.decode(response.data)["version"]
        except (ValueError, KeyError, TypeError) as error:
            raise ScoringUnavailable(
                f"{self._name} does not say what it serves, but status {response.status}: "
                f"{refusal_text(_text(response))}"
            ) from error
        return served


class ExampleClient(_HttpClient):
    """Query the scoring service for a transaction that it can score."""

    def example(self) -> ExampleRequest:
        """Return the example. Raise `Misconfigured` if the key or the address is wrong, else `ScoringUnavailable`."""
        response = self._request("GET", "/v1/example")
        if response.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise Misconfigured(f"{self._name} refuses CARDWATCH_API_KEY: {refusal_text(_text(response))}")
        try:
            if response.status == HTTPStatus.OK:
                return msgspec.json.decode(response.data, type=ExampleRequest)
        except ValueError:
            pass
        raise ScoringUnavailable(
            f"{self._name} gives no example, but status {response.status}: {refusal_text(_text(response))}"
        )


def _text(response: BaseHTTPResponse) -> str:
    return response.data.decode(errors="replace")


def _tls_context(authorities: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authorities)
    except (OSError, ssl.SSLError) as error:
        raise Misconfigured(f"CARDWATCH_TLS_CA={str(authorities)!r} holds no certificates that can be read") from error
