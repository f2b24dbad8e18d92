"""The settings of the connection to Kafka: what fits each other, and what is refused at the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.kafka.confluent.connection import client_settings
from adapters.kafka.diagnosis import split_addresses
from adapters.kafka.library import other_client
from adapters.kafka.pure_python.connection import Connections
from adapters.kafka.pure_python.connection import client_settings as kafka_python_settings
from adapters.runtime.addresses import Secret
from adapters.runtime.kafka_connection import KafkaClient, KafkaConnection
from adapters.runtime.settings import Settings, read_settings
from cardwatch.errors import Misconfigured

LOGIN = {
    "CARDWATCH_KAFKA_BOOTSTRAP": "a:9092,b:9093",
    "CARDWATCH_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "CARDWATCH_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "CARDWATCH_KAFKA_USERNAME": "alice",
    "CARDWATCH_KAFKA_PASSWORD": " hunter2 @/#%",
}

TOKENS = LOGIN | {
    "CARDWATCH_KAFKA_SASL_MECHANISM": "OAUTHBEARER",
    "CARDWATCH_KAFKA_TOKEN_PROVIDER": "oidc",
    "CARDWATCH_KAFKA_TOKEN_URL": "https://sso/token",
    "CARDWATCH_KAFKA_TOKEN_SCOPE": "kafka",
}


def test_a_login_is_read_passed_to_children_and_never_shown() -> None:
    settings = read_settings(LOGIN)
    assert client_settings(settings.kafka) == {
        "bootstrap.servers": "a:9092,b:9093",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "alice",
        "sasl.password": " hunter2 @/#%",
    }
    assert read_settings(settings.to_environment()) == settings
    assert f"{settings.kafka}" == "a:9092,b:9093"
    assert "hunter2" not in repr(settings) + repr(settings.kafka)


def test_without_variables_the_connection_is_plain() -> None:
    assert read_settings({"CARDWATCH_KAFKA_BOOTSTRAP": "h:1"}).kafka == KafkaConnection("h:1")
    assert client_settings(KafkaConnection("h:1")) == {"bootstrap.servers": "h:1", "security.protocol": "PLAINTEXT"}
    assert read_settings({}) == Settings()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"BOOTSTRAP": "SASL_SSL://a:9092"}, "BOOTSTRAP='SASL_SSL://a:9092': expected addresses like host:9092"),
        ({"BOOTSTRAP": "alice:hunter2@a:9092"}, r"BOOTSTRAP=\.\.\.: expected .*without a login"),
        ({"BOOTSTRAP": "a:9092, "}, "expected addresses"),
        ({"BOOTSTRAP": "a:0"}, "expected addresses"),
        ({"BOOTSTRAP": "a:65536"}, "expected addresses"),
        ({"BOOTSTRAP": ""}, "BOOTSTRAP is not set, but other variables of CARDWATCH_KAFKA_ are"),
        ({"CLIENT": "librdkafka"}, "CLIENT='librdkafka': .*; one of confluent-kafka, kafka-python"),
        ({"SECURITY_PROTOCOL": "TLS"}, "PROTOCOL='TLS': expected one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
        ({"SECURITY_PROTOCOL": "sasl_ssl"}, "PROTOCOL='sasl_ssl': expected one of"),
        ({"SECURITY_PROTOCOL": ""}, "SASL_MECHANISM is set, but .*PROTOCOL=PLAINTEXT sends no login"),
        ({"SECURITY_PROTOCOL": "SSL"}, "SASL_MECHANISM is set, but .*PROTOCOL=SSL sends no login"),
        ({"SASL_MECHANISM": ""}, "MECHANISM='': expected one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER"),
        ({"SASL_MECHANISM": "GSSAPI"}, "SASL_MECHANISM='GSSAPI': expected one of"),
        ({"SASL_MECHANISM": "OAUTHBEARER"}, "TOKEN_PROVIDER='': .*OAUTHBEARER needs one of oidc, msk-iam"),
        ({"TOKEN_PROVIDER": "oidc"}, "TOKEN_PROVIDER is set, but .*SASL_MECHANISM=SCRAM-SHA-512 does not use it"),
        ({"TOKEN_URL": "https://sso/t"}, "TOKEN_URL is set, but .*SASL_MECHANISM=SCRAM-SHA-512 does not use it"),
        ({"BOOTSTRAP": "", "TOKEN_SCOPE": "x"}, "BOOTSTRAP is not set, but other variables of CARDWATCH_KAFKA_ are"),
        ({"USERNAME": ""}, "USERNAME is not set: .*PROTOCOL=SASL_SSL needs it"),
        ({"PASSWORD": ""}, "PASSWORD is not set: .*PROTOCOL=SASL_SSL needs it"),
        ({"CA_FILE": "gone.pem"}, r"CA_FILE='gone\.pem': there is no such file"),
        ({"CA_FILE": "empty.pem"}, r"CA_FILE='empty\.pem': it holds no certificates in PEM"),
        ({"CERTIFICATE": "empty.pem"}, "needs both, or neither"),
        ({"KEY": "empty.pem"}, "needs both, or neither"),
        ({"KEY_PASSWORD": "hunter2"}, "KEY_PASSWORD is set, but CARDWATCH_KAFKA_KEY is not"),
        ({"CERTIFICATE": "empty.pem", "KEY": "empty.pem"}, r"CERTIFICATE='empty\.pem': .*no client certificate"),
        ({"CERTIFICATE": "empty.pem", "KEY": "gone.pem"}, r"KEY='gone\.pem': there is no such file"),
        ({"SECURITY_PROTOCOL": "SASL_PLAINTEXT", "CA_FILE": "empty.pem"}, "CA_FILE is set, but .*does not use TLS"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_variable_and_without_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], message: str
) -> None:
    (tmp_path / "empty.pem").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Misconfigured, match=f"CARDWATCH_KAFKA_.*{message}|{message}") as refusal:
        read_settings({**LOGIN, **{f"CARDWATCH_KAFKA_{name}": value for name, value in changes.items()}})
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"TOKEN_PROVIDER": "OIDC"}, "TOKEN_PROVIDER='OIDC': .*OAUTHBEARER needs one of oidc, msk-iam"),
        ({"TOKEN_URL": ""}, "TOKEN_URL is not set: CARDWATCH_KAFKA_TOKEN_PROVIDER=oidc needs it"),
        ({"TOKEN_URL": "sso/token"}, "TOKEN_URL='sso/token' begins with none of http://, https://"),
        ({"TOKEN_URL": "https://me:hunter2@sso/t"}, "TOKEN_URL holds a login: .*belong in CARDWATCH_KAFKA_USERNAME"),
        ({"USERNAME": ""}, "USERNAME is not set: CARDWATCH_KAFKA_TOKEN_PROVIDER=oidc needs it"),
        ({"PASSWORD": ""}, "PASSWORD is not set: CARDWATCH_KAFKA_TOKEN_PROVIDER=oidc needs it"),
        ({"AWS_REGION": "eu-west-1"}, "AWS_REGION is set, but .*TOKEN_PROVIDER=oidc does not use it: remove it"),
        ({"TOKEN_PROVIDER": "msk-iam"}, "AWS_REGION is not set: CARDWATCH_KAFKA_TOKEN_PROVIDER=msk-iam needs it"),
        ({"TOKEN_PROVIDER": "msk-iam", "AWS_REGION": "eu west"}, "AWS_REGION='eu west': expected the name of a reg"),
        ({"TOKEN_PROVIDER": "msk-iam", "AWS_REGION": "eu-west-1"}, "USERNAME is set, but .*msk-iam does not use it"),
        ({"TOKEN_PROVIDER": "msk-iam", "SECURITY_PROTOCOL": "SASL_PLAINTEXT"}, "msk-iam needs .*=SASL_SSL"),
        ({"SASL_MECHANISM": "PLAIN"}, "TOKEN_PROVIDER is set, but .*SASL_MECHANISM=PLAIN does not use it: remove it"),
        ({"SECURITY_PROTOCOL": "SSL"}, "SASL_MECHANISM is set, but .*PROTOCOL=SSL sends no login"),
        ({"SECURITY_PROTOCOL": "SSL", "SASL_MECHANISM": "", "USERNAME": "", "PASSWORD": ""}, "TOKEN_PROVIDER is set"),
    ],
)
def test_a_login_with_tokens_that_does_not_fit_is_refused_with_the_variable(
    changes: dict[str, str], message: str
) -> None:
    with pytest.raises(Misconfigured, match=f"CARDWATCH_KAFKA_{message}|{message}") as refusal:
        read_settings({**TOKENS, **{f"CARDWATCH_KAFKA_{name}": value for name, value in changes.items()}})
    assert "hunter2" not in str(refusal.value)


def test_a_login_with_tokens_is_read_passed_to_children_and_never_shown() -> None:
    settings = read_settings(TOKENS)
    assert settings.kafka.uses_tokens
    assert read_settings(settings.to_environment()) == settings
    assert "hunter2" not in repr(settings) + repr(settings.kafka)


def test_the_region_of_msk_is_that_of_aws_unless_it_has_its_own() -> None:
    variables = {
        "CARDWATCH_KAFKA_BOOTSTRAP": "b-1:9098",
        "CARDWATCH_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "CARDWATCH_KAFKA_SASL_MECHANISM": "OAUTHBEARER",
        "CARDWATCH_KAFKA_TOKEN_PROVIDER": "msk-iam",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
    assert read_settings(variables).kafka.aws_region == "eu-west-1"
    variables["AWS_REGION"] = "eu-west-2"
    assert read_settings(variables).kafka.aws_region == "eu-west-2"
    variables["CARDWATCH_KAFKA_AWS_REGION"] = "eu-west-3"
    assert read_settings(variables).kafka.aws_region == "eu-west-3"
    assert read_settings({"AWS_REGION": "eu-west-2"}).kafka.aws_region == ""


def test_addresses_are_split_with_ports_and_without() -> None:
    assert split_addresses("a:1, b,[::1]:2,[::1]") == [("a", 1), ("b", 9092), ("::1", 2), ("::1", 9092)]
    assert KafkaConnection("a:1, b,[::1]:2,[::1]").validated().bootstrap


def test_two_connections_with_the_same_settings_are_equal() -> None:
    assert KafkaConnection("a:1", password=Secret("x")) == KafkaConnection("a:1", password=Secret("x"))


def test_the_client_is_chosen_by_a_variable_passed_to_children_and_needs_no_address() -> None:
    assert read_settings({}).kafka.client is KafkaClient.CONFLUENT
    settings = read_settings({"CARDWATCH_KAFKA_CLIENT": "kafka-python"})
    assert settings.kafka.client is KafkaClient.KAFKA_PYTHON
    assert settings.to_environment()["CARDWATCH_KAFKA_CLIENT"] == "kafka-python"
    assert read_settings(settings.to_environment()) == settings
    assert other_client(settings.kafka) == read_settings({}).kafka
    assert other_client(other_client(settings.kafka)) == settings.kafka


def test_kafka_python_gets_the_same_settings(tmp_path: Path) -> None:
    connection = KafkaConnection(
        "a:1, b:2",
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        username="alice",
        password=Secret("hunter2"),
        ca_file=tmp_path / "ca",
        certificate=tmp_path / "certificate",
        key=tmp_path / "key",
        key_password=Secret("sesame"),
    )
    found = kafka_python_settings(connection, Connections(connection))
    assert found["bootstrap_servers"] == ["a:1", "b:2"]
    assert found["security_protocol"] == "SASL_SSL"
    assert {name: value for name, value in found.items() if name.startswith(("sasl", "ssl"))} == {
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "alice",
        "sasl_plain_password": "hunter2",
        "ssl_cafile": str(tmp_path / "ca"),
        "ssl_certfile": str(tmp_path / "certificate"),
        "ssl_keyfile": str(tmp_path / "key"),
        "ssl_password": "sesame",
    }
