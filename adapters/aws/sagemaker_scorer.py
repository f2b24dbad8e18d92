"""The scoring service behind an endpoint of SageMaker, asked over `sagemaker-runtime`.

SageMaker hands on the body, its type and one header of its own, so what the service's headers say travels as custom
attributes (`adapters.scoring.wire_format`). What the container refuses comes back as a `ModelError` that holds the
container's
own answer; everything else is SageMaker's own refusal. Region, credentials and address are boto3's own settings.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any, Final

import boto3
import numpy as np
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError
from numpy.typing import NDArray

from adapters.aws.clients import error_code, translated_errors
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
    """A `cardwatch.ports.Scorer` over kept-alive connections; the container is told how long we will wait.

    Raises `Misconfigured` if no endpoint is named or no region is known. What is wrong with the permission to call it
    shows at the first call, and is then no different from an endpoint that is away: the caller decides without it.
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
        """Score float32 [n, features] rows, all by one model; see the port. The ids go along at DEBUG, if they fit.

        Raises `SchemaMismatch` if the model wants another schema than `schema_hash`, `NoModelServed` if there is none,
        and `ScoringUnavailable` for every other failure and when an answer takes longer than the timeout.
        """
        said = {SCHEMA_HEADER: schema_hash, REASONS_HEADER: PER_ROW, DEADLINE_HEADER: self._deadline_ms}
        if transaction_ids and log.isEnabledFor(logging.DEBUG):
            room = MAX_ATTRIBUTES_CHARACTERS - len(encode_attributes({**said, IDS_HEADER: ""}))
            said[IDS_HEADER] = encode_ids(transaction_ids, max_bytes=room)
        body = self._invoke(encode_rows(rows, reasons_above), encode_attributes(said))
        return decode_complete_scores(body, len(rows), self._name)

    def _invoke(self, body: bytes, attributes: str) -> bytes:
        try:
            return self._once_more_if_closed(body, attributes)
        except ClientError as error:
            raise self._refusal(error) from error
        except BotoCoreError as error:
            raise ScoringUnavailable(f"{self._name} does not answer: {type(error).__name__} {error}") from error

    def _once_more_if_closed(self, body: bytes, attributes: str) -> bytes:
        # A kept connection may be closed by the other side at the moment of use, and surely is after a function was
        # frozen. Scoring changes nothing: ask again, if that showed while there is time for it.
        begin = time.perf_counter()
        try:
            return self._once(body, attributes)
        except ConnectionClosedError:
            if time.perf_counter() - begin > self._timeout_seconds / 2:
                raise
            return self._once(body, attributes)

    def _once(self, body: bytes, attributes: str) -> bytes:
        response: Any = self._runtime.invoke_endpoint(
            EndpointName=self._endpoint,
            ContentType=BINARY,
            Accept=MSGPACK,
            CustomAttributes=attributes,
            Body=body,
        )
        content: bytes = response["Body"].read()
        return content

    def _refusal(self, error: ClientError) -> SchemaMismatch | ScoringUnavailable:
        """The container's own answer if it is one, else what SageMaker says: throttled, no such endpoint, no right."""
        if error_code(error) != _MODEL_ERROR:
            return ScoringUnavailable(f"{self._name} refuses a call: {error}")
        response: Any = error.response
        return decode_refusal(
            int(response.get("OriginalStatusCode", 500)), str(response.get("OriginalMessage", "")), self._name
        )
