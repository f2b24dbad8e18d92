"""Composition root of the function behind API Gateway: `POST /v1/score`."""

from __future__ import annotations

import base64
import binascii
import logging
import time
from collections.abc import Mapping
from functools import cache, partial
from typing import Any, Final

import msgspec

from adapters.aws.reference_table_cache import ReferenceTableCache
from adapters.aws.s3 import Bucket
from adapters.aws.sagemaker_scorer import EndpointScorer
from adapters.aws.secrets_manager import with_control_key
from adapters.feature_store.dynamodb import DynamoDbStore
from adapters.runtime.logs import set_up_logging
from adapters.runtime.policy_file import read_control, read_policies
from adapters.runtime.settings import read_settings
from cardwatch.errors import InvalidRecord, Misconfigured
from cardwatch.events import Transaction, decode
from cardwatch.warm_up import warm_kernel
from services.scoring.api.card_states import CardStateReader
from services.scoring.api.preview import PreviewScorer
from services.scoring.aws.remote_preview import RemotePreviewScorer

MAX_BYTES: Final = 16_384
"""Maximum size of a request body, as in `services.scoring.api.endpoints.MAX_TRANSACTION_BYTES`."""
NEEDED: Final = ("store_url", "endpoint", "data_bucket")

log = logging.getLogger(__name__)


class ScoreFunction:
    """Everything that is created once per Lambda container."""

    def __init__(self) -> None:
        settings = read_settings()
        if missing := [f"CARDWATCH_{name.upper()}" for name in NEEDED if not getattr(settings, name)]:
            raise Misconfigured(f"{', '.join(missing)}: this function needs them, and they are not set")
        set_up_logging(settings, "score")
        policy = read_policies(settings).decision
        self._tables = ReferenceTableCache(Bucket(settings.data_bucket), settings.tables, time.monotonic)
        states = CardStateReader(partial(DynamoDbStore, settings.store_url, readonly=True), None, time.monotonic)
        scorer = EndpointScorer(settings, timeout_seconds=settings.deadline_ms / 1_000)
        previews = PreviewScorer(states, self._tables, policy, read_control(with_control_key(settings, policy), policy))
        self._previews = RemotePreviewScorer(previews, scorer, policy)
        warm_kernel()

    def handle(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the response to one request, as the scoring service does: 200, 413 or 422."""
        self._tables.refresh()
        try:
            body = body_of(event)
            if len(body) > MAX_BYTES:
                return _response(413, {"error": f"{len(body):,} bytes; a transaction has at most {MAX_BYTES:,}"})
            return _response(200, self._previews.preview(decode(body, Transaction)))
        except InvalidRecord as error:
            return _response(422, {"error": str(error), "field": error.field})


def body_of(event: Mapping[str, Any]) -> bytes:
    """Return the body of an API Gateway proxy event, or raise `InvalidRecord` if it should be base64 and is not."""
    body = (event.get("body") or "").encode()
    if not event.get("isBase64Encoded"):
        return body
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise InvalidRecord("the body is not base64") from error


def _response(status: int, content: object) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json"},
        "body": msgspec.json.encode(content).decode(),
    }


@cache
def _function() -> ScoreFunction:
    return ScoreFunction()


def handle(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Lambda's entry point: takes a proxy event of API Gateway, returns its response."""
    return _function().handle(event)
