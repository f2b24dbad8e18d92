"""Secrets from AWS Secrets Manager."""

from __future__ import annotations

from msgspec import structs

from adapters.aws.clients import aws_client, translated_errors
from adapters.runtime.addresses import Secret
from adapters.runtime.settings import Settings
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.errors import Misconfigured


def read_secret(name: str) -> Secret:
    """Return the text of the newest version of a secret, by its name or ARN.

    Raises `Misconfigured` if there is none or its content is not text, `Unavailable` if the service does not answer.
    """
    client = aws_client("secretsmanager")
    with translated_errors(f"the secret {name}"):
        found = client.get_secret_value(SecretId=name)
    if "SecretString" not in found:
        raise Misconfigured(f"the secret {name} is binary; store the key as text")
    return Secret(found["SecretString"])


def with_control_key(settings: Settings, policy: DecisionPolicy) -> Settings:
    """Return the settings with the key of the control share, read from `control_key_secret` if the policy has a share.

    A key that is set by itself is kept. Errors as of `read_secret`.
    """
    if not policy.control.share or settings.control_key or not settings.control_key_secret:
        return settings
    return structs.replace(settings, control_key=read_secret(settings.control_key_secret))
