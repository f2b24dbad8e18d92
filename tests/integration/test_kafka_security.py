"""TLS, logins, tokens and advertised names on a real broker: what works, and what a mistake is told in seconds."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from math import ceil
from pathlib import Path

import pytest
from msgspec import structs

from adapters.kafka.consumer import LogReader
from adapters.kafka.offsets import OffsetReader, commit_offsets
from adapters.kafka.producer import LogWriter
from adapters.kafka.topics import create_topics, end_offsets, ensure_topics, unreachable_reason, wait_for_broker
from adapters.kafka.transactional_log import TransactionalLog
from adapters.local_stack.readiness import unready_reasons
from adapters.local_stack.stack_home import ProcessEndpoint
from adapters.runtime.addresses import HttpUrl, Secret
from adapters.runtime.kafka_connection import KafkaClient, KafkaConnection
from adapters.runtime.retry import poll
from adapters.runtime.settings import Settings, child_environment
from cardwatch.errors import BrokerUnavailable, CardwatchError, Misconfigured
from cardwatch.records import Outgoing
from cardwatch.topics import DECISIONS, STREAM_GROUP, TRANSACTIONS
from infra.local_stack.supervisor import Supervisor
from tests.deadlines import Deadline, load_factor
from tests.integration.secured_kafka import PASSWORD, SecuredKafka, make_certificates
from tests.integration.token_endpoint import CLIENT_SECRET, TokenEndpoint

Outcome = tuple[CardwatchError | None, float]
EACH_CLIENT = pytest.mark.parametrize("client", KafkaClient)
MAINLY_CONFLUENT = pytest.mark.parametrize(
    "client", [KafkaClient.CONFLUENT, pytest.param(KafkaClient.KAFKA_PYTHON, marks=pytest.mark.long)], scope="module"
)

# kafka-python leaves sockets whose handshake failed to the garbage collector, which the fixture `kafka` calls.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <:ResourceWarning")

SECONDS = 20.0
"""Within this time a mistake must be told; the check itself waits for three seconds."""


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    certificates = tmp_path_factory.mktemp("certificates")
    make_certificates(certificates)
    home = tmp_path_factory.mktemp("kafka")
    broker = SecuredKafka(Settings(home=home), certificates)
    with Supervisor(home) as supervisor:
        supervisor.start(broker.process_spec())
        create_topics(broker.connection, partitions=2)
        yield broker
    gc.collect()


def relay(broker: KafkaConnection, count: int) -> list[tuple[bytes | None, bytes]]:
    """Write transactions, pass each on exactly once with its position, abort one more, and return the decisions."""
    begin = end_offsets(broker, DECISIONS)
    taken_up = end_offsets(broker, TRANSACTIONS)
    commit_offsets(broker, f"group-{uuid.uuid4().hex}", TRANSACTIONS, taken_up)
    writer = LogWriter(broker)
    for number in range(count):
        writer.write(TRANSACTIONS, f"card-{number}", b"%d" % number)
    writer.flush()
    assert writer.delivered == count
    log = TransactionalLog(
        broker,
        f"slot-{uuid.uuid4().hex}",
        on_assigned=lambda ps: {p: taken_up[p] for p in ps},
        on_revoked=lambda _: None,
    )
    passed, deadline = 0, time.monotonic() + 60
    with closing(log):
        while passed < count:
            assert time.monotonic() < deadline
            for partition, records in log.poll(0.5, limit=100).items():
                out = [Outgoing(DECISIONS, partition, record.key, record.value) for record in records]
                log.commit(out, {partition: records[-1].offset + 1})
                passed += len(records)
    with closing(OffsetReader(broker, STREAM_GROUP)) as inquiry:
        assert inquiry.committed(TRANSACTIONS, [0, 1]) == end_offsets(broker, TRANSACTIONS)
    decided: list[tuple[bytes | None, bytes]] = []
    with LogReader(broker, {(DECISIONS, partition): end for partition, end in begin.items()}) as reader:
        while len(decided) < count:
            assert time.monotonic() < deadline
            decided += [(record.key, record.value) for record in reader.poll(0.5)]
    return decided


@EACH_CLIENT
@pytest.mark.parametrize("listener", ["TLS", "LOGIN"])
def test_every_adapter_works_over_the_listener_transactions_included(
    kafka: SecuredKafka, listener: str, client: KafkaClient
) -> None:
    broker = structs.replace(kafka.reached_by(listener), client=client)
    ensure_topics(broker, partitions=2)
    assert unreachable_reason(broker, timeout_seconds=5.0) is None
    assert sorted(relay(broker, 5)) == [(b"card-%d" % number, b"%d" % number) for number in range(5)]


@EACH_CLIENT
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("listener", ["LOGIN", "CLEARLOGIN"])
def test_every_mechanism_logs_in(kafka: SecuredKafka, listener: str, mechanism: str, client: KafkaClient) -> None:
    broker = structs.replace(kafka.reached_by(listener), sasl_mechanism=mechanism, client=client)
    wait_for_broker(broker.validated(), SECONDS)
    assert set(end_offsets(broker, TRANSACTIONS)) == {0, 1}


@EACH_CLIENT
@pytest.mark.parametrize("key", ["client-key.pem", "client-encrypted.pem"])
def test_a_client_certificate_is_presented(kafka: SecuredKafka, key: str, client: KafkaClient) -> None:
    password = Secret(PASSWORD if "encrypted" in key else "")
    broker = structs.replace(
        kafka.reached_by("MUTUAL"), key=kafka.certificates / key, key_password=password, client=client
    )
    wait_for_broker(broker.validated(), SECONDS)


def mistakes(kafka: SecuredKafka, client: KafkaClient) -> dict[str, KafkaConnection]:
    """Connections with one mistake each."""
    plain, tls, login = kafka.connection, kafka.reached_by("TLS"), kafka.reached_by("LOGIN")
    clear = kafka.reached_by("CLEARLOGIN")
    other = kafka.certificates / "other.pem"
    made = {
        "password": structs.replace(login, password=Secret("guessed")),
        "password of PLAIN": structs.replace(clear, password=Secret("guessed"), sasl_mechanism="PLAIN"),
        "user": structs.replace(login, username="mallory"),
        "untrusted certificate": structs.replace(tls, ca_file=other),
        "no authority": structs.replace(tls, ca_file=None),
        "plain client, TLS listener": KafkaConnection(tls.bootstrap),
        "plain client, TLS listener with login": KafkaConnection(login.bootstrap),
        "login without TLS, TLS listener": structs.replace(login, security_protocol="SASL_PLAINTEXT", ca_file=None),
        "TLS client, plain listener": structs.replace(tls, bootstrap=plain.bootstrap),
        "TLS client with login, listener with login": structs.replace(login, bootstrap=clear.bootstrap),
        "no login": structs.replace(tls, bootstrap=login.bootstrap),
        "no login without TLS": KafkaConnection(clear.bootstrap),
        "a login where none is wanted": structs.replace(login, bootstrap=tls.bootstrap),
        "no client certificate": structs.replace(tls, bootstrap=kafka.reached_by("MUTUAL").bootstrap),
        "advertised name": kafka.reached_by("AWAY"),
        "unknown name": KafkaConnection("kafka.invalid:9092"),
        "nobody listens": KafkaConnection("127.0.0.1:9"),
    }
    return {name: structs.replace(broker, client=client) for name, broker in made.items()}


def names_addresses(outcome: Outcome) -> bool:
    return "advertised" in str(outcome[0])


@pytest.fixture(scope="module")
def outcomes(kafka: SecuredKafka, client: KafkaClient) -> dict[str, Outcome]:
    """What each mistake is told and after which time; several are made at once, because each takes three seconds."""

    def outcome(broker: KafkaConnection) -> Outcome:
        begin = time.monotonic()
        try:
            ensure_topics(broker, partitions=2)
        except CardwatchError as error:
            return error, time.monotonic() - begin
        return None, time.monotonic() - begin

    made = mistakes(kafka, client)
    away = made.pop("advertised name")
    # The only one that needs an answer within three seconds, which a busy machine may miss; services ask again.
    tries = (outcome(away) for _ in range(5))
    asked = {"advertised name": next(filter(names_addresses, tries), (None, 0.0))}
    with ThreadPoolExecutor(6) as pool:  # more would slow down the broker, which is told apart from silence by time
        return asked | dict(zip(made, pool.map(outcome, made.values()), strict=True))


@MAINLY_CONFLUENT
@pytest.mark.parametrize(
    ("mistake", "error", "message"),
    [
        ("password", Misconfigured, "rejects the login of user 'alice' with SCRAM-SHA-512: .*KAFKA_PASSWORD"),
        ("password of PLAIN", Misconfigured, "rejects the login of user 'alice' with PLAIN: .*KAFKA_PASSWORD"),
        ("user", Misconfigured, "rejects the login of user 'mallory'"),
        ("untrusted certificate", Misconfigured, r"is not trusted: .*KAFKA_CA_FILE \(.*other\.pem\)"),
        ("no authority", Misconfigured, r"is not trusted: .*KAFKA_CA_FILE \(not set\)"),
        ("plain client, TLS listener", BrokerUnavailable, "speaks TLS, .*SECURITY_PROTOCOL=PLAINTEXT: set it to SSL"),
        ("plain client, TLS listener with login", BrokerUnavailable, "speaks TLS, .*or to SASL_SSL"),
        ("login without TLS, TLS listener", BrokerUnavailable, "speaks TLS, .*=SASL_PLAINTEXT: set it to SASL_SSL"),
        ("TLS client, plain listener", BrokerUnavailable, "does not speak TLS, .*=SSL: set it to PLAINTEXT"),
        ("TLS client with login, listener with login", BrokerUnavailable, "does not speak TLS.*to SASL_PLAINTEXT"),
        ("no login", BrokerUnavailable, r"may want a login \(SASL\): set .*SECURITY_PROTOCOL to SASL_SSL"),
        ("no login without TLS", BrokerUnavailable, r"may want a login \(SASL\): set .* to SASL_PLAINTEXT"),
        ("a login where none is wanted", Misconfigured, "wants no login: set .*SECURITY_PROTOCOL to SSL"),
        ("no client certificate", Misconfigured, "wants a client certificate: set .*KAFKA_CERTIFICATE"),
        ("advertised name", BrokerUnavailable, r"broker\.invalid:9092 \(.*resolve.*advertised\.listeners"),
        ("unknown name", BrokerUnavailable, r"kafka\.invalid:9092: .*does not resolve"),
        ("nobody listens", BrokerUnavailable, r"127\.0\.0\.1:9: connection refused\. Start it, or correct"),
    ],
)
def test_a_mistake_is_told_within_seconds_and_without_the_password(
    outcomes: dict[str, Outcome], mistake: str, error: type[CardwatchError], message: str, client: KafkaClient
) -> None:
    told, seconds = outcomes[mistake]
    assert type(told) is error
    assert re.search(message, str(told)), told
    assert seconds < SECONDS
    assert "guessed" not in str(told)
    assert PASSWORD not in str(told)


@MAINLY_CONFLUENT
def test_a_worker_that_meets_a_wrong_password_says_so(kafka: SecuredKafka, client: KafkaClient) -> None:
    broker = mistakes(kafka, client)["password"]
    writer = LogWriter(broker)
    writer.write(TRANSACTIONS, "card", b"1")
    with pytest.raises(BrokerUnavailable, match=r"1 records were not taken .*rejects the login of user 'alice'"):
        writer.flush(3.0)
    writer.close()
    reason = poll(
        lambda: str(unready_reasons({"kafka": ProcessEndpoint(broker.bootstrap, "")}, broker)["kafka"]),
        until=lambda reason: "does not answer yet" not in reason,
        timeout_seconds=SECONDS,
    )
    assert "rejects the login of user 'alice'" in reason


@MAINLY_CONFLUENT
def test_commands_take_the_settings_from_the_environment(
    kafka: SecuredKafka, tmp_path: Path, client: KafkaClient
) -> None:
    def heartbeat(broker: KafkaConnection) -> tuple[int, str]:
        settings = Settings(
            home=tmp_path,
            kafka_bootstrap=broker.bootstrap,
            kafka_security_protocol=broker.security_protocol,
            kafka_sasl_mechanism=broker.sasl_mechanism,
            kafka_username=broker.username,
            kafka_password=broker.password,
            kafka_ca_file=broker.ca_file,
            kafka_client=client,
        )
        command = [sys.executable, "-m", "cli.main", "heartbeat", "--source", "mine", "--at", "2024-05-01"]
        done = subprocess.run(
            command, env=child_environment(settings), capture_output=True, text=True, timeout=120, check=False
        )
        return done.returncode, done.stdout + done.stderr

    assert heartbeat(kafka.reached_by("LOGIN"))[0] == 0
    status, said = heartbeat(mistakes(kafka, client)["password"])
    assert (status, said.count("\n")) == (2, 1)
    assert "rejects the login" in said
    assert "guessed" not in said


@pytest.fixture(scope="module")
def endpoint() -> Iterator[TokenEndpoint]:
    with TokenEndpoint() as endpoint:
        yield endpoint


@EACH_CLIENT
def test_every_adapter_works_with_tokens_transactions_included(
    kafka: SecuredKafka, endpoint: TokenEndpoint, client: KafkaClient
) -> None:
    broker = structs.replace(endpoint.connection(kafka.bootstrap_of("TOKENS")), client=client)
    ensure_topics(broker, partitions=2)
    assert unreachable_reason(broker, timeout_seconds=5.0) is None
    assert sorted(relay(broker, 5)) == [(b"card-%d" % number, b"%d" % number) for number in range(5)]


@MAINLY_CONFLUENT
def test_tokens_log_in_over_tls(kafka: SecuredKafka, endpoint: TokenEndpoint, client: KafkaClient) -> None:
    broker = structs.replace(
        endpoint.connection(kafka.bootstrap_of("TLSTOKENS")),
        security_protocol="SASL_SSL",
        ca_file=kafka.certificates / "ca.pem",
        client=client,
    )
    wait_for_broker(broker.validated(), SECONDS)
    assert set(end_offsets(broker, TRANSACTIONS)) == {0, 1}


@MAINLY_CONFLUENT
def test_reading_and_writing_go_on_while_tokens_expire(kafka: SecuredKafka, client: KafkaClient) -> None:
    read: list[bytes] = []
    written, deadline = 0, Deadline(60.0)
    # A client renews a token after four fifths of its life. The rest must suffice on a machine that becomes busy, too.
    with TokenEndpoint(lifetime_seconds=ceil(5 * load_factor())) as endpoint:
        broker = structs.replace(endpoint.connection(kafka.bootstrap_of("TOKENS")), client=client)
        begin = end_offsets(broker, DECISIONS)
        with (
            closing(LogWriter(broker)) as writer,
            LogReader(broker, {(DECISIONS, partition): end for partition, end in begin.items()}) as reader,
        ):
            # The fourth token is needed when the first two have expired.
            while len(endpoint.grants) < 4 or len(read) < written:
                assert not deadline.has_passed(), (len(endpoint.grants), written, len(read))
                if len(endpoint.grants) < 4:
                    writer.write(DECISIONS, f"card-{written}", b"%d" % written)
                    writer.flush(5.0)
                    written += 1
                read += [record.value for record in reader.poll(0.1)]
    assert sorted(read) == sorted(b"%d" % number for number in range(written))
    assert len(set(endpoint.grants)) == len(endpoint.grants)


@pytest.mark.long
@EACH_CLIENT
def test_transactions_go_on_while_tokens_expire(kafka: SecuredKafka, client: KafkaClient) -> None:
    passed: list[bytes] = []
    written, deadline = 0, time.monotonic() + 120
    # Longer than joining the group takes, for which the broker keeps a request open.
    with TokenEndpoint(lifetime_seconds=15) as endpoint:
        broker = structs.replace(endpoint.connection(kafka.bootstrap_of("TOKENS")), client=client)
        taken_up, begin = end_offsets(broker, TRANSACTIONS), end_offsets(broker, DECISIONS)
        log = TransactionalLog(
            broker,
            f"slot-{uuid.uuid4().hex}",
            on_assigned=lambda ps: {p: taken_up[p] for p in ps},
            on_revoked=lambda _: None,
        )
        with closing(log), closing(LogWriter(broker)) as writer:
            # The third token is needed when the first one has expired.
            while len(endpoint.grants) < 3 or len(passed) < written:
                assert time.monotonic() < deadline, (len(endpoint.grants), written, len(passed))
                if len(endpoint.grants) < 3:
                    writer.write(TRANSACTIONS, f"card-{written}", b"%d" % written)
                    writer.flush(5.0)
                    written += 1
                for partition, records in log.poll(0.2, limit=100).items():
                    out = [Outgoing(DECISIONS, partition, record.key, record.value) for record in records]
                    log.commit(out, {partition: records[-1].offset + 1})
                    passed += [record.value for record in records]
        decided: list[bytes] = []
        with LogReader(broker, {(DECISIONS, partition): end for partition, end in begin.items()}) as reader:
            while len(decided) < written:
                assert time.monotonic() < deadline
                decided += [record.value for record in reader.poll(0.5)]
    assert sorted(passed) == sorted(decided) == sorted(b"%d" % number for number in range(written))


def token_mistakes(kafka: SecuredKafka, endpoint: TokenEndpoint, client: KafkaClient) -> dict[str, KafkaConnection]:
    """Connections with one mistake each."""
    right = endpoint.connection(kafka.bootstrap_of("TOKENS"))
    made = {
        "secret": structs.replace(right, password=Secret("guessed")),
        "address": structs.replace(right, token_url=HttpUrl("http://127.0.0.1:9/token")),
        "scope": structs.replace(right, token_scope="other"),  # noqa: S106
        "listener": structs.replace(right, bootstrap=kafka.bootstrap_of("CLEARLOGIN")),
    }
    return {name: structs.replace(broker, client=client) for name, broker in made.items()}


@MAINLY_CONFLUENT
@pytest.mark.parametrize(
    ("mistake", "error", "message"),
    [
        (
            "secret",
            Misconfigured,
            r"answers 401 \(invalid_client\): it rejects client 'card watch'; correct .*_USERNAME",
        ),
        ("address", BrokerUnavailable, "_TOKEN_URL='http://127.0.0.1:9/token' does not answer .connection refused"),
        ("scope", Misconfigured, "the broker rejects the token of client 'card watch': .*CARDWATCH_KAFKA_TOKEN_SCOPE"),
        pytest.param(
            "listener",
            Misconfigured,
            "the broker does not offer CARDWATCH_KAFKA_SASL_MECHANISM=OAUTHBEARER",
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_mistake_with_tokens_is_told_within_seconds_and_without_secret_and_token(
    kafka: SecuredKafka,
    endpoint: TokenEndpoint,
    mistake: str,
    error: type[CardwatchError],
    message: str,
    client: KafkaClient,
) -> None:
    broker = token_mistakes(kafka, endpoint, client)[mistake]
    begin = time.monotonic()
    with pytest.raises(error, match=message) as told:
        ensure_topics(broker, partitions=2)
    assert time.monotonic() - begin < SECONDS
    reason = unreachable_reason(broker, timeout_seconds=1.0)
    assert reason is not None
    for secret in ("guessed", CLIENT_SECRET, *endpoint.grants):
        assert secret not in str(told.value) + reason


@pytest.mark.long
@EACH_CLIENT
def test_clients_that_are_opened_without_a_token_say_why(
    kafka: SecuredKafka, endpoint: TokenEndpoint, client: KafkaClient
) -> None:
    made = token_mistakes(kafka, endpoint, client)
    for open_client in (LogWriter, lambda broker: LogReader(broker, {(DECISIONS, 0): 0})):
        with pytest.raises(BrokerUnavailable, match=r"_TOKEN_URL='http://127\.0\.0\.1:9/token' does not answer"):
            open_client(made["address"])
        with pytest.raises(Misconfigured, match="it rejects client 'card watch'"):
            open_client(made["secret"])
    # The token is rejected by the broker only when it connects.
    writer = LogWriter(made["scope"])
    writer.write(TRANSACTIONS, "card", b"1")
    with pytest.raises(BrokerUnavailable, match=r"1 records were not taken .*rejects the token of client 'card watch'"):
        writer.flush(3.0)
    writer.close()
