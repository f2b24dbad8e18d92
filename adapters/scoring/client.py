"""HTTP clients of the scoring service."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import httpx
import msgspec
import numpy as np
from numpy.typing import NDArray

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
    """Keep-alive connections to the scoring service of the settings. Raise `Misconfigured` for an invalid address."""

    def __init__(self, settings: Settings, *, timeout_seconds: float = READ_TIMEOUT_SECONDS) -> None:
        url, username, password = split_userinfo(settings.scoring_url.rstrip("/"))
        if username or password:
            raise Misconfigured(
                f"CARDWATCH_SCORING_URL={url} must not hold a user or password: callers identify with CARDWATCH_API_KEY"
            )
        self._name = f"the scoring service at {url}"
        try:
            self._http = httpx.Client(
                base_url=url,
                timeout=timeout_seconds,
                headers={"Authorization": bearer_authorization(plain(settings.api_key), variable="CARDWATCH_API_KEY")},
                limits=httpx.Limits(keepalive_expiry=30.0),
                trust_env=False,
                verify=True if settings.tls_ca is None else _tls_context(settings.tls_ca),
            )
        except httpx.InvalidURL as error:
            raise Misconfigured(f"{url!r} is not the address of a scoring service: {error}") from error

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


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
        self._http.headers.update({"Content-Type": BINARY, REASONS_HEADER: PER_ROW, DEADLINE_HEADER: str(deadline_ms)})

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
        return retry(
            lambda: self._request_scores(body, headers, len(rows)),
            timeout_seconds=self._busy_seconds,
            retry_seconds=BUSY_RETRY_SECONDS,
            is_transient=lambda error: isinstance(error, ScorerBusy),
        )

    def _request_scores(self, body: bytes, headers: dict[str, str], count: int) -> Scores:
        response = self._post(body, headers)
        if response.status_code != httpx.codes.OK:
            raise decode_refusal(response.status_code, response.text, self._name)
        return decode_complete_scores(response.content, count, self._name)

    def _post(self, body: bytes, headers: dict[str, str]) -> httpx.Response:
        try:
            return retry_once(
                lambda: self._http.post("/invocations", content=body, headers=headers),
                (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError),
            )
        except httpx.HTTPError as error:
            raise ScoringUnavailable(f"{self._name} does not answer: {type(error).__name__} {error}") from error


class ServedVersionClient(_HttpClient):
    """Query the model version that the scoring service serves."""

    def version(self) -> str | None:
        """Return the served version, None if there is none yet; raise `ScoringUnavailable` for an invalid response."""
        try:
            response = self._http.get("/v1/model").raise_for_status()
            served: str | None = response.json()["version"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise ScoringUnavailable(
                f"{self._name} does not say what it serves: {type(error).__name__} {error}"
            ) from error
        return served


class ExampleClient(_HttpClient):
    """Query the scoring service for a transaction that it can score."""

    def example(self) -> ExampleRequest:
        """Return the example. Raise `Misconfigured` if the key or the address is wrong, else `ScoringUnavailable`."""
        try:
            response = self._http.get("/v1/example")
        except httpx.HTTPError as error:
            raise ScoringUnavailable(f"{self._name} does not answer: {type(error).__name__} {error}") from error
        if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise Misconfigured(f"{self._name} refuses CARDWATCH_API_KEY: {refusal_text(response.text)}")
        try:
            return msgspec.json.decode(response.raise_for_status().content, type=ExampleRequest)
        except (httpx.HTTPStatusError, msgspec.DecodeError) as error:
            raise ScoringUnavailable(
                f"{self._name} gives no example, but status {response.status_code}: {refusal_text(response.text)}"
            ) from error


def _tls_context(authorities: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authorities)
    except (OSError, ssl.SSLError) as error:
        raise Misconfigured(f"CARDWATCH_TLS_CA={str(authorities)!r} holds no certificates that can be read") from error
