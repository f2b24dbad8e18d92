"""Tokens with which a Kafka client logs in to MSK by IAM: a signed URL, made without a request to AWS."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import boto3
from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
from botocore.credentials import CredentialProvider, ReadOnlyCredentials

from adapters.aws.clients import translated_errors
from cardwatch.errors import BrokerUnavailable, Misconfigured


class _UsualCredentials(CredentialProvider):  # type: ignore[misc]
    """The credentials that every client of AWS in this process uses."""

    METHOD = CANONICAL_NAME = "cardwatch"

    def load(self) -> ReadOnlyCredentials:
        """Return the credentials. Raises `Misconfigured` without any; the signer would end with an `AttributeError`."""
        found = boto3.Session().get_credentials()
        if found is None:
            raise Misconfigured(
                "there are no AWS credentials to log in to MSK with: give the process a role, sign in with the AWS "
                "command (aws sso login, aws configure), or set AWS_PROFILE"
            )
        return found.get_frozen_credentials()


def signed_token(region: str) -> tuple[str, float]:
    """Return a token for the MSK clusters of a region, and when it expires, in seconds since 1970.

    Raises `Misconfigured` without credentials, and `BrokerUnavailable` if they cannot be fetched now.
    """
    with translated_errors("the login to MSK", BrokerUnavailable):
        token, _ = MSKAuthTokenProvider.generate_auth_token_from_credentials_provider(region, _UsualCredentials())
    return token, _expiry_of(token)


def _expiry_of(token: str) -> float:
    """Return when a signed URL expires. The signer's own expiry is right only on machines whose time zone is UTC."""
    url = urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    values = parse_qs(urlsplit(url).query)
    signed_at = datetime.strptime(values["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return signed_at.timestamp() + float(values["X-Amz-Expires"][0])
