"""Tokens for MSK, made with fixed credentials and without a network. No MSK cluster has ever taken one of ours."""

from __future__ import annotations

import time
from base64 import urlsafe_b64decode
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from adapters.aws.msk_iam import signed_token
from adapters.kafka.confluent import connection as confluent
from adapters.kafka.pure_python import connection as pure_python
from adapters.runtime.clock import epoch_ms
from adapters.runtime.kafka_connection import MSK_IAM, OAUTHBEARER, KafkaClient, KafkaConnection
from cardwatch.errors import Misconfigured

REGION = "eu-central-1"
KEY_ID, SECRET_KEY, SESSION_TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", "session/token+1="


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment of AWS with these credentials, no files, and no service of a machine that gives others."""
    for name in ("AWS_PROFILE", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ACCESS_KEY_ID": KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_SESSION_TOKEN": SESSION_TOKEN,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(name, value)


def connection(client: KafkaClient) -> KafkaConnection:
    # The host differs by client, because the clients of one connection share a token.
    return KafkaConnection(
        f"b-1.{client}.kafka.{REGION}.amazonaws.com:9098",
        security_protocol="SASL_SSL",
        sasl_mechanism=OAUTHBEARER,
        token_provider=MSK_IAM,
        aws_region=REGION,
        client=client,
    ).validated()


def signed_url(token: str) -> tuple[str, dict[str, str]]:
    """The address in a token, and its parameters."""
    url = urlsplit(urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode())
    return f"{url.scheme}://{url.netloc}{url.path}", {name: value for name, [value] in parse_qs(url.query).items()}


def test_a_token_is_the_signed_url_of_the_region_with_action_and_credential() -> None:
    before = int(epoch_ms() / 1_000)
    token, expires_at = signed_token(REGION)
    address, values = signed_url(token)
    assert address == f"https://kafka.{REGION}.amazonaws.com/"
    day = values["X-Amz-Date"][:8]
    assert values["Action"] == "kafka-cluster:Connect"
    assert values["X-Amz-Credential"] == f"{KEY_ID}/{day}/{REGION}/kafka-cluster/aws4_request"
    assert values["X-Amz-Security-Token"] == SESSION_TOKEN
    assert values["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
    assert values["X-Amz-Expires"] == "900"
    assert len(values["X-Amz-Signature"]) == 64
    assert SECRET_KEY not in str(values)
    assert before + 900 <= expires_at <= epoch_ms() / 1_000 + 900


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Lima"])
def test_the_expiry_does_not_depend_on_the_time_zone_of_the_machine(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        token, expires_at = signed_token(REGION)
    finally:
        monkeypatch.undo()
        time.tzset()
    signed_at = datetime.strptime(signed_url(token)[1]["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert expires_at == signed_at.timestamp() + 900


def test_librdkafka_gets_the_token_and_its_expiry_in_seconds() -> None:
    settings = confluent.client_settings(connection(KafkaClient.CONFLUENT))
    token, expires_at = settings["oauth_cb"]("")
    assert signed_url(token)[1]["Action"] == "kafka-cluster:Connect"
    assert 890 < expires_at - epoch_ms() / 1_000 <= 900


def test_kafka_python_gets_the_token_alone() -> None:
    broker = connection(KafkaClient.KAFKA_PYTHON)
    provider = pure_python.client_settings(broker, pure_python.Connections(broker))["sasl_oauth_token_provider"]
    assert signed_url(provider.token())[1]["Action"] == "kafka-cluster:Connect"
    assert provider.extensions() == {}


def test_without_credentials_it_says_how_to_give_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(Misconfigured, match="no AWS credentials to log in to MSK with: give the process a role"):
        signed_token(REGION)


def test_half_of_the_credentials_are_refused_with_the_missing_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(Misconfigured, match=r"cannot be called without credentials: .*AWS_SECRET_ACCESS_KEY"):
        signed_token(REGION)
