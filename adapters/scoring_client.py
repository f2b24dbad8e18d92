"""The scoring service, asked over HTTP; and the form in which scores travel."""

from __future__ import annotations

from typing import Final

import httpx
import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.errors import SchemaMismatch, ScoringUnavailable
from cardwatch.ports import Scores

SCHEMA_HEADER: Final = "X-Feature-Schema"
REASONS_HEADER: Final = "X-Reasons-Above"
ROW_TYPE: Final = np.dtype("<f4")


class _Wire(Struct, frozen=True, kw_only=True):
    """`Scores` as MessagePack: little-endian arrays as bytes."""

    model_version: str
    model_digest: str
    margins: bytes
    probabilities: bytes
    reasons: list[list[str]]


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_Wire)


def encode_scores(scores: Scores) -> bytes:
    """The body of an answer of `/invocations`."""
    wire = _Wire(
        model_version=scores.model_version,
        model_digest=scores.model_digest,
        margins=scores.margins.astype("<f4", copy=False).tobytes(),
        probabilities=scores.probabilities.astype("<f8", copy=False).tobytes(),
        reasons=scores.reasons,
    )
    return _ENCODER.encode(wire)


def decode_scores(body: bytes) -> Scores:
    """The inverse of `encode_scores`; raises `ScoringUnavailable` for anything else."""
    try:
        wire = _DECODER.decode(body)
        margins = np.frombuffer(wire.margins, "<f4").astype(np.float32, copy=False)
        probabilities = np.frombuffer(wire.probabilities, "<f8").astype(np.float64, copy=False)
    except (msgspec.DecodeError, ValueError) as error:
        raise ScoringUnavailable(f"the scoring service answered what is not scores: {error}") from error
    return Scores(
        model_version=wire.model_version,
        model_digest=wire.model_digest,
        margins=margins,
        probabilities=probabilities,
        reasons=wire.reasons,
    )


class ScoringClient:
    """A `cardwatch.ports.Scorer` over kept-alive connections. Rows from probability `reasons_above` on get reasons."""

    def __init__(self, url: str, api_key: str, *, timeout_seconds: float, reasons_above: float | None = None) -> None:
        self._url = url.rstrip("/")
        self._headers = {} if reasons_above is None else {REASONS_HEADER: repr(float(reasons_above))}
        self._http = httpx.Client(
            base_url=self._url,
            timeout=timeout_seconds,
            headers={"Authorization": f"Bearer {api_key}", "Content-Type": "application/octet-stream"},
            limits=httpx.Limits(keepalive_expiry=30.0),
            trust_env=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def score(self, rows: NDArray[np.float32], *, schema_hash: str) -> Scores:
        """Score float32 [n, features] rows, all by one model.

        Raises `SchemaMismatch` if the model wants another schema than `schema_hash`, and `ScoringUnavailable` for every
        other failure and when an answer takes longer than the timeout.
        """
        body = np.ascontiguousarray(rows, ROW_TYPE).tobytes()
        response = self._post(body, {**self._headers, SCHEMA_HEADER: schema_hash})
        if response.status_code == httpx.codes.CONFLICT:
            raise SchemaMismatch(_reason(response))
        if response.status_code != httpx.codes.OK:
            raise ScoringUnavailable(
                f"the scoring service at {self._url} answered {response.status_code}: {_reason(response)}"
            )
        scores = decode_scores(response.content)
        if not len(scores.margins) == len(scores.probabilities) == len(scores.reasons) == len(rows):
            raise ScoringUnavailable(
                f"the scoring service at {self._url} answered {len(scores.margins)} scores to {len(rows)} rows"
            )
        return scores

    def _post(self, body: bytes, headers: dict[str, str]) -> httpx.Response:
        try:
            return self._once_more_if_closed(body, headers)
        except httpx.HTTPError as error:
            raise ScoringUnavailable(
                f"the scoring service at {self._url} does not answer: {type(error).__name__} {error}"
            ) from error

    def _once_more_if_closed(self, body: bytes, headers: dict[str, str]) -> httpx.Response:
        # A kept connection may be closed by the server at the moment of use. Scoring changes nothing: ask again.
        try:
            return self._http.post("/invocations", content=body, headers=headers)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            return self._http.post("/invocations", content=body, headers=headers)


class ServedModel:
    """Asks the scoring service at `url` which model version it serves."""

    def __init__(self, url: str, api_key: str, *, timeout_seconds: float = 5.0) -> None:
        self._url = url.rstrip("/")
        self._http = httpx.Client(
            base_url=self._url,
            timeout=timeout_seconds,
            headers={"Authorization": f"Bearer {api_key}"},
            trust_env=False,
        )

    def version(self) -> str | None:
        """The served version, None if there is none yet. Raises `ScoringUnavailable` without a proper answer."""
        try:
            response = self._http.get("/v1/model").raise_for_status()
            served: str | None = response.json()["version"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise ScoringUnavailable(
                f"the scoring service at {self._url} does not say what it serves: {type(error).__name__} {error}"
            ) from error
        return served

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def _reason(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]
