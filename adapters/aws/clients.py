"""Clients of AWS services, and their errors as ours. Region, credentials and endpoint are boto3's own settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import boto3
from botocore import exceptions
from botocore.config import Config

from cardwatch.errors import Misconfigured, Unavailable

_NOT_NOW: Final = {
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
    """A client of one service; calls that fail on the way or are throttled are made up to four times.

    `region` is that of the machine if None. Raises `Misconfigured` if no region can be found.
    """
    config = Config(
        connect_timeout=connect_seconds,
        read_timeout=read_seconds,
        retries={"mode": "standard", "total_max_attempts": 4},
    )
    with answering(f"AWS {service}"):
        return boto3.client(service, region_name=region, config=config)


@contextmanager
def answering(where: str, unavailable: type[Unavailable] = Unavailable) -> Iterator[None]:
    """Turn what AWS answers into our errors: `unavailable` if the same call may succeed later, else `Misconfigured`.

    `where` begins the message: what was asked, in words of ours.
    """
    try:
        yield
    except exceptions.ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if error_code(error) in _NOT_NOW or status >= 500:
            raise unavailable(f"{where} does not take this now: {error}") from error
        raise Misconfigured(f"{where} refuses a call: {error}") from error
    except exceptions.NoRegionError as error:
        raise Misconfigured(
            f"{where}: no region is known; set AWS_DEFAULT_REGION, or region in ~/.aws/config"
        ) from error
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError, exceptions.TokenRetrievalError) as error:
        raise Misconfigured(
            f"{where} cannot be asked without credentials: {error}; sign in with the AWS command (aws sso login, aws "
            "configure), or set AWS_PROFILE"
        ) from error
    except (exceptions.BotoCoreError, exceptions.HTTPClientError) as error:
        raise unavailable(f"{where} does not answer: {error}") from error


def error_code(error: exceptions.ClientError) -> str:
    """The name that AWS gives to an error, empty if it gives none."""
    return str(error.response.get("Error", {}).get("Code", ""))
