"""A client of the scoring service behind a SageMaker endpoint, over `sagemaker-runtime`.

SageMaker forwards the body, its type and one header, so that the service's headers are sent as custom attributes
(`adapters.scoring.wire_format`). An error of the container arrives as a `ModelError` with the container's response.
Other errors are SageMaker's. boto3 configures region, credentials and address.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

import boto3
import numpy as np
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError
from numpy.typing import NDArray

from adapters.aws.clients import error_code, translated_errors
from adapters.runtime.retry import retry_once
from adapters.runtime.settings import Settings
from adapters.scoring.wire_format import (
    BINARY,
    DEADLINE_HEADER,
    IDS_HEADER,
    MAX_ATTRIBUTES_CHARACTERS,
    MSGPACK,
    PER_ROW,
    REASONS_HEADER,
    SCHEMA_HEADER,
    decode_complete_scores,
    decode_refusal,
    encode_attributes,
    encode_ids,
    encode_rows,
)
from cardwatch.errors import Misconfigured, SchemaMismatch, ScoringUnavailable
from cardwatch.ports import Scores

_MODEL_ERROR: Final = "ModelError"

log = logging.getLogger(__name__)


class EndpointScorer:
    """A `cardwatch.ports.Scorer` over kept-alive connections. Requests carry the timeout as their deadline.

    Raises `Misconfigured` without a name of the endpoint or a region. A missing permission shows at the first call and
    is treated like an unavailable endpoint: the caller decides by rules.
    """

    def __init__(self, settings: Settings, *, timeout_seconds: float) -> None:
        if not settings.endpoint:
            raise Misconfigured("CARDWATCH_ENDPOINT is not set: it names the SageMaker endpoint that scores")
        self._endpoint, self._timeout_seconds = settings.endpoint, timeout_seconds
        self._deadline_ms = str(max(int(timeout_seconds * 1_000), 1))
        self._name = f"the SageMaker endpoint {settings.endpoint}"
        config = Config(
            connect_timeout=timeout_seconds, read_timeout=timeout_seconds, retries={"total_max_attempts": 1}
        )
        with translated_errors(self._name):
            self._runtime = boto3.client("sagemaker-runtime", config=config)

    def close(self) -> None:
        """Close the connections."""
        self._runtime.close()

    def score(
        self,
        rows: NDArray[np.float32],
        reasons_above: NDArray[np.float64],
        *,
        schema_hash: str,
        transaction_ids: Sequence[str] = (),
    ) -> Scores:
        """Score float32 [n, features] rows by one model; see the port. The ids are sent at DEBUG only, if they fit.

        Raises `SchemaMismatch` if the model has another schema than `schema_hash`, `NoModelServed` if there is none,
        and `ScoringUnavailable` for other failures and after the timeout.
        """
        headers = {SCHEMA_HEADER: schema_hash, REASONS_HEADER: PER_ROW, DEADLINE_HEADER: self._deadline_ms}
        if transaction_ids and log.isEnabledFor(logging.DEBUG):
            room = MAX_ATTRIBUTES_CHARACTERS - len(encode_attributes({**headers, IDS_HEADER: ""}))
            headers[IDS_HEADER] = encode_ids(transaction_ids, max_bytes=room)
        body = self._invoke(encode_rows(rows, reasons_above), encode_attributes(headers))
        return decode_complete_scores(body, len(rows), self._name)

    def _invoke(self, body: bytes, attributes: str) -> bytes:
        try:
            # A connection is certain to be closed after the function was frozen.
            return retry_once(
                lambda: self._request(body, attributes),
                (ConnectionClosedError,),
                within_seconds=self._timeout_seconds / 2,
            )
        except ClientError as error:
            raise self._refusal(error) from error
        except BotoCoreError as error:
            raise ScoringUnavailable(f"{self._name} does not answer: {type(error).__name__} {error}") from error

    def _request(self, body: bytes, attributes: str) -> bytes:
        response: Any = self._runtime.invoke_endpoint(
            EndpointName=self._endpoint, ContentType=BINARY, Accept=MSGPACK, CustomAttributes=attributes, Body=body
        )
        content: bytes = response["Body"].read()
        return content

    def _refusal(self, error: ClientError) -> SchemaMismatch | ScoringUnavailable:
        """Return the error of the container, or of SageMaker: throttled, no such endpoint, no permission."""
        if error_code(error) != _MODEL_ERROR:
            return ScoringUnavailable(f"{self._name} refuses a call: {error}")
        response: Any = error.response
        return decode_refusal(
            int(response.get("OriginalStatusCode", 500)), str(response.get("OriginalMessage", "")), self._name
        )
