"""Requests to an API behind AWS API Gateway, signed with AWS credentials (SigV4) and with an API key."""

from __future__ import annotations

from typing import Any, Final

import boto3
import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from adapters.aws.clients import aws_client, translated_errors
from cardwatch.errors import CardwatchError, Misconfigured, ScoringUnavailable

TIMEOUT_SECONDS: Final = 30.0
"""Timeout of a request. API Gateway itself ends requests after 29 seconds."""


def api_key(key_id: str, region: str, *, client: Any = None) -> str:
    """Return the value of an API key. Raises `Misconfigured` if it does not exist or may not be read.

    `client` is for tests.
    """
    with translated_errors(f"API key {key_id}"):
        found = (client or aws_client("apigateway", region=region)).get_api_key(apiKey=key_id, includeValue=True)
    return str(found["value"])


def post_signed(url: str, body: bytes, *, region: str, key: str) -> bytes:
    """POST the JSON `body` and return the body of the response.

    Raises `ScoringUnavailable` for no response, a server error or throttling, and `CardwatchError` with the text of the
    response for any other error.
    """
    credentials = boto3.Session().get_credentials()
    if credentials is None:
        raise Misconfigured(f"{url} cannot be called without credentials; sign in with the AWS command")
    request = AWSRequest("POST", url, data=body, headers={"Content-Type": "application/json", "x-api-key": key})
    SigV4Auth(credentials.get_frozen_credentials(), "execute-api", region).add_auth(request)
    try:
        answer = httpx.post(url, content=body, headers=dict(request.headers.items()), timeout=TIMEOUT_SECONDS)
    except httpx.HTTPError as error:
        raise ScoringUnavailable(f"{url} does not answer: {error!r}") from error
    if answer.status_code == 429 or answer.status_code >= 500:
        raise ScoringUnavailable(f"{url} answers {answer.status_code}: {answer.text[:500]}")
    if answer.status_code != 200:
        raise CardwatchError(f"{url} refuses with status {answer.status_code}: {answer.text[:500]}")
    return answer.content
