"""Clients of AWS services, and translation of their errors. boto3 configures region, credentials and endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import boto3
from botocore import exceptions
from botocore.config import Config

from cardwatch.errors import Misconfigured, Unavailable

_TRANSIENT_CODES: Final = {
    "ConcurrentModificationException",
    "InternalFailure",
    "InternalServerError",
    "KMSThrottlingException",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}


def aws_client(service: str, *, region: str | None = None, connect_seconds: float = 2, read_seconds: float = 10) -> Any:
    """Return a client of one service, which makes up to four attempts when a call fails or is throttled.

    `region` None means the configured region. Raises `Misconfigured` if none is configured.
    """
    config = Config(
        connect_timeout=connect_seconds,
        read_timeout=read_seconds,
        retries={"mode": "standard", "total_max_attempts": 4},
    )
    with translated_errors(f"AWS {service}"):
        return boto3.client(service, region_name=region, config=config)


@contextmanager
def translated_errors(where: str, unavailable: type[Unavailable] = Unavailable) -> Iterator[None]:
    """Translate errors of AWS: to `unavailable` if the same call may succeed later, else to `Misconfigured`.

    `where` is the beginning of the message: the resource that was called.
    """
    try:
        yield
    except exceptions.ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if error_code(error) in _TRANSIENT_CODES or status >= 500:
            raise unavailable(f"{where} does not take this now: {error}") from error
        raise Misconfigured(f"{where} refuses a call: {error}") from error
    except exceptions.NoRegionError as error:
        raise Misconfigured(
            f"{where}: no region is known; set AWS_DEFAULT_REGION, or region in ~/.aws/config"
        ) from error
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError, exceptions.TokenRetrievalError) as error:
        raise Misconfigured(
            f"{where} cannot be called without credentials: {error}; sign in with the AWS command (aws sso login, aws "
            "configure), or set AWS_PROFILE"
        ) from error
    except (exceptions.BotoCoreError, exceptions.HTTPClientError) as error:
        raise unavailable(f"{where} does not answer: {error}") from error


def error_code(error: exceptions.ClientError) -> str:
    """Return AWS' name of an error, empty if it has none."""
    return str(error.response.get("Error", {}).get("Code", ""))
