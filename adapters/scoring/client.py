"""HTTP clients of the scoring service."""

from __future__ import annotations

import logging
import re
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple, Self
from urllib.parse import urlsplit

import msgspec
import numpy as np
import pycurl
from msgspec import Struct
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
    ShownPreview,
    decode_complete_scores,
    decode_refusal,
    encode_ids,
    encode_rows,
    refusal_text,
)
from cardwatch.errors import InvalidRecord, Misconfigured, ScorerBusy, ScoringUnavailable
from cardwatch.events import Transaction
from cardwatch.ladder.state import LadderState
from cardwatch.ports import Scores

READ_TIMEOUT_SECONDS: Final = 5.0
BUSY_RETRY_SECONDS: Final = 0.05
"""Pause before a request is repeated that was refused because the service is busy."""

log = logging.getLogger(__name__)

_BROKEN_CONNECTION: Final = (pycurl.E_GOT_NOTHING, pycurl.E_SEND_ERROR, pycurl.E_RECV_ERROR, pycurl.E_PARTIAL_FILE)
"""Errors of a connection that ended during a request; the request is sent once more."""

_MEASURED: Final = re.compile(r" after \d+ (?:ms|milliseconds)| with \d+(?: out of \d+)? bytes received")
"""Times and sizes in libcurl's messages. They are removed, so that a repeated failure has the same message: callers log
each message once, and degraded decisions hold it as their reason."""


class _ConnectionBroken(Exception):
    """The connection ended before the response was complete."""


class _Response(NamedTuple):
    """Status and body of a response."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        """The body as text, where it is not as expected."""
        return self.body.decode(errors="replace")


class _HttpClient:
    """A keep-alive connection to the scoring service of the settings. Raise `Misconfigured` for an invalid address.

    With libcurl, because a small request takes urllib3 three times and httpx six times as long, and httpx leaves each
    request's body to the garbage collector.
    """

    def __init__(self, settings: Settings, *, timeout_seconds: float = READ_TIMEOUT_SECONDS) -> None:
        url, username, password = split_userinfo(settings.scoring_url.rstrip("/"))
        if username or password:
            raise Misconfigured(
                f"CARDWATCH_SCORING_URL={url} must not hold a user or password: callers identify with CARDWATCH_API_KEY"
            )
        try:
            if not urlsplit(url).hostname or urlsplit(url).port == 0:
                raise ValueError("it names no host, or port 0")
        except ValueError as error:
            raise Misconfigured(f"{url!r} is not the address of a scoring service: {error}") from error
        self._url, self._name = url, f"the scoring service at {url}"
        self._headers = {"Authorization": bearer_authorization(plain(settings.api_key), variable="CARDWATCH_API_KEY")}
        self._lock = Lock()
        self._curl = pycurl.Curl()
        for option, value in {
            pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_1_1,
            pycurl.NOSIGNAL: 1,  # signals belong to the process
            pycurl.PROXY: "",  # otherwise a proxy of the environment gets the requests
            pycurl.TIMEOUT_MS: max(int(timeout_seconds * 1000), 1),
            pycurl.USERAGENT: "cardwatch",
        }.items():
            self._curl.setopt(option, value)
        if url.startswith("https:") and (authorities := _authorities(settings.tls_ca)) is not None:
            self._curl.setopt(pycurl.CAINFO, str(authorities))

    def close(self) -> None:
        """Close the connection."""
        self._curl.close()

    def _request(self, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> _Response:
        """Return the response to a POST request with this body, or to a GET request without one.

        Raise `ScoringUnavailable` if there is none.
        """
        sent = {**self._headers, **(headers or {})}
        try:
            with self._lock:
                self._curl.setopt(pycurl.URL, (self._url + path).encode())
                if body is None:
                    self._curl.setopt(pycurl.HTTPGET, 1)
                else:
                    self._curl.setopt(pycurl.POSTFIELDS, body)
                lines = [f"{name}: {value}".encode("latin-1") for name, value in sent.items()]
                self._curl.setopt(pycurl.HTTPHEADER, [*lines, b"Expect:"])  # do not ask before sending a large body
                return retry_once(self._perform, (_ConnectionBroken,))
        except (pycurl.error, _ConnectionBroken) as error:
            reason = _MEASURED.sub("", error.args[-1])
            raise ScoringUnavailable(f"{self._name} does not answer: {reason}") from error

    def _perform(self) -> _Response:
        try:
            body = self._curl.perform_rb()
        except pycurl.error as error:
            if error.args[0] in _BROKEN_CONNECTION:
                raise _ConnectionBroken(error.args[-1]) from error
            raise
        return _Response(self._curl.getinfo(pycurl.RESPONSE_CODE), body)


class ScoringClient(_HttpClient):
    """A `cardwatch.ports.Scorer` over a keep-alive connection. Requests carry the timeout as their deadline.

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
        response = self._request("/invocations", headers, body)
        if response.status != HTTPStatus.OK:
            raise decode_refusal(response.status, response.text, self._name)
        return decode_complete_scores(response.body, count, self._name)


class ServedVersions(Struct, frozen=True):
    """The versions of champion and candidate that a scoring process serves, None where there is none.

    `canary_share` is the share of the cards that the candidate decides, None if it is in shadow.
    """

    version: str | None
    candidate: str | None = None
    canary_share: float | None = None

    @classmethod
    def of(cls, ladder: LadderState) -> Self:
        """Return the versions that are served when the ladder is."""
        champion, candidate = ladder.champion, ladder.served_candidate
        return cls(
            champion.version if champion else None, candidate.version if candidate else None, ladder.canary_share
        )


class ServedVersionClient(_HttpClient):
    """Query the model versions that the scoring service serves."""

    def version(self) -> str | None:
        """Return the champion that is served, None if there is none yet; raises what `versions` raises."""
        return self.versions().version

    def versions(self) -> ServedVersions:
        """Return the served versions; raise `ScoringUnavailable` for an invalid response."""
        response = self._request("/v1/model")
        try:
            return msgspec.json.decode(response.body, type=ServedVersions)
        except ValueError as error:
            raise ScoringUnavailable(
                f"{self._name} does not say what it serves, but status {response.status}: {refusal_text(response.text)}"
            ) from error


class ExampleClient(_HttpClient):
    """Query the scoring service for a transaction that it can score."""

    def example(self) -> ExampleRequest:
        """Return the example. Raise `Misconfigured` if the key or the address is wrong, else `ScoringUnavailable`."""
        response = self._request("/v1/example")
        if response.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise Misconfigured(f"{self._name} refuses CARDWATCH_API_KEY: {refusal_text(response.text)}")
        try:
            if response.status == HTTPStatus.OK:
                return msgspec.json.decode(response.body, type=ExampleRequest)
        except ValueError:
            pass
        raise ScoringUnavailable(
            f"{self._name} gives no example, but status {response.status}: {refusal_text(response.text)}"
        )


class ExplanationClient(_HttpClient):
    """Query the scoring service for explanations of recorded scores."""

    def explanation(self, decision: bytes) -> bytes:
        """Return the explanation of a recorded decision, JSON as it came: by the champion, whoever decided.

        Raise `ScoringUnavailable` with the reason of the service if there is none.
        """
        response = self._request("/v1/explain/features", {"Content-Type": "application/json"}, decision)
        if response.status != HTTPStatus.OK:
            raise ScoringUnavailable(f"{self._name} does not explain this: {refusal_text(response.text)}")
        return response.body


class PreviewClient(_HttpClient):
    """Query the scoring service for what would be decided about transactions, which changes nothing."""

    def previews(self, transactions: Sequence[Transaction]) -> list[ShownPreview]:
        """Return what would be decided if these came next, in their order; the second of a card sees the first.

        Raise `InvalidRecord` for what the service does not take as transactions, and `ScoringUnavailable` otherwise.
        """
        body = msgspec.json.encode(transactions)
        response = self._request("/v1/score/batch", {"Content-Type": "application/json"}, body)
        try:
            if response.status == HTTPStatus.OK:
                return msgspec.json.decode(response.body, type=list[ShownPreview])
        except ValueError:
            pass
        text = refusal_text(response.text)
        if response.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY):
            raise InvalidRecord(text)
        raise ScoringUnavailable(f"{self._name} gives no preview, but status {response.status}: {text}")


def _authorities(configured: Path | None) -> Path | None:
    """Return the file of certificates to trust, None for the one that libcurl finds.

    Raise `Misconfigured` if the configured one is invalid.
    """
    if configured is None:
        found = ssl.get_default_verify_paths().cafile  # that of SSL_CERT_FILE, too, which libcurl ignores
        return None if found is None else Path(found)
    try:
        ssl.create_default_context(cafile=configured)
    except (OSError, ssl.SSLError) as error:
        raise Misconfigured(f"CARDWATCH_TLS_CA={str(configured)!r} holds no certificates that can be read") from error
    return configured
