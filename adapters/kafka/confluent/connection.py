"""Settings, records and errors of confluent-kafka. All consumers read committed records."""

from __future__ import annotations

import re
from operator import methodcaller
from typing import Any, Final

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, KafkaError, KafkaException, Message

from adapters.kafka.diagnosis import (
    Cause,
    advertised_elsewhere,
    client_certificate_wanted,
    login_rejected,
    mechanism_not_offered,
    no_login_wanted,
    no_tls,
    untrusted_certificate,
)
from adapters.kafka.port import Failure, RequestFailed
from adapters.kafka.tokens import token_source
from adapters.runtime.addresses import plain
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.records import Record, trace_headers

_FAILURES: Final = {
    Failure.SUPERSEDED: (KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH),
    Failure.UNKNOWN_TOPIC: (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC),
    Failure.FORBIDDEN: (
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    ),
    Failure.REJECTED: (KafkaError._AUTHENTICATION, KafkaError._SSL),
    Failure.ELECTION: (
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        # After a topic was created or a broker started, the controller names a leader before it is ready.
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
    ),
}
_FAILURE_OF: Final = {code: failure for failure, codes in _FAILURES.items() for code in codes}

# Not `message.headers()`: for a name that is not UTF-8 the library returns a broken list with an exception set, which
# Python's specialized calls do not check, so that the process crashes later.
_headers_of: Final = methodcaller("headers")

# Errors at an address that a broker has advertised: they have the broker's number where others have "bootstrap".
_ADVERTISED: Final = re.compile(r"(?:\w+://)?(\S+:\d+)/\d+: ((?:Failed to resolve|Connect to).*?)(?: \(after|$)")


def client_settings(broker: KafkaConnection) -> dict[str, Any]:
    """Return the settings of librdkafka with which a client connects.

    With OAUTHBEARER a token is fetched first, because the constructor of a client waits ten seconds for one and does
    not tell why there is none. Raises `BrokerUnavailable` or `Misconfigured` without a token.
    """
    values = {
        "bootstrap.servers": broker.bootstrap,
        "security.protocol": broker.security_protocol,
        "sasl.mechanism": broker.sasl_mechanism,
        "sasl.username": "" if broker.uses_tokens else broker.username,
        "sasl.password": "" if broker.uses_tokens else plain(broker.password),
        "ssl.ca.location": broker.ca_file,
        "ssl.certificate.location": broker.certificate,
        "ssl.key.location": broker.key,
        "ssl.key.password": plain(broker.key_password),
    }
    return {name: str(value) for name, value in values.items() if value} | _token_settings(broker)


def consumer_settings(broker: KafkaConnection, group: str) -> dict[str, Any]:
    """Return the settings of a consumer that reads committed records and commits offsets explicitly."""
    return {
        **client_settings(broker),
        "group.id": group,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "log_level": 0,
    }


def _token_settings(broker: KafkaConnection) -> dict[str, Any]:
    """Return the callback that gives librdkafka a token; a thread of the library calls it, also between polls."""
    if not broker.uses_tokens:
        return {}
    source = token_source(broker)
    source.token()

    def refresh(_config: str) -> tuple[str, float]:
        token = source.token()
        return plain(token.text), token.expires_at

    return {"oauth_cb": refresh}


def to_record(message: Message) -> Record:
    """Return a message as a `Record`."""
    kind, timestamp_ms = message.timestamp()
    try:
        headers = _headers_of(message)
    except SystemError:  # the name of a header is not UTF-8
        headers = None
    return Record(
        message.topic(),
        message.partition(),
        message.offset(),
        0 if kind == TIMESTAMP_NOT_AVAILABLE else timestamp_ms,
        message.key(),
        message.value(),
        trace_headers(headers) if headers else (),
    )


def is_transient(error: KafkaError) -> bool:
    """Whether a consumer recovers from the error by itself."""
    return bool(error.retriable()) or error.code() in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN)


def failed(error: KafkaException | KafkaError) -> RequestFailed:
    """Return an error of the library as that of the port."""
    cause: KafkaError = error.args[0] if isinstance(error, KafkaException) else error
    return RequestFailed(cause.str(), _FAILURE_OF.get(cause.code(), Failure.OTHER))


class ErrorLog:
    """The newest informative error of a client; an instance is its `error_cb`, which its threads call.

    librdkafka gives the reasons why it cannot connect to this callback only: requests just time out.
    """

    def __init__(self) -> None:
        self._newest: KafkaError | None = None
        self.are_all_brokers_down = False
        """Whether no broker could be reached at some time."""

    def __call__(self, error: KafkaError) -> None:
        """Keep the error, unless it only says that no broker is left."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.are_all_brokers_down = True
        else:
            self._newest = error

    def cause(self, broker: KafkaConnection) -> Cause | None:
        """Return the reason of the newest error, None if it is not known."""
        return None if self._newest is None else explain(self._newest, broker)


def explain(error: KafkaError, broker: KafkaConnection) -> Cause | None:
    """Return what an error about TLS or the login means, None for another error."""
    text = error.str()
    if error.code() == KafkaError._AUTHENTICATION:
        return _explain_login(text, broker)
    if (found := _ADVERTISED.match(text)) and (cause := advertised_elsewhere(broker, found[1], found[2])):
        return cause
    if "certificate verify failed" in text:
        return untrusted_certificate(broker)
    if "PLAINTEXT broker listener" in text or "wrong version number" in text:
        return no_tls(broker)
    if "certificate required" in text or "bad certificate" in text or "unknown ca" in text:
        return client_certificate_wanted(broker)
    return None


def _explain_login(text: str, broker: KafkaConnection) -> Cause:
    if broker.uses_tokens and (cause := token_source(broker).cause()):
        return cause  # the library only says that there is no token, or sends an expired one
    if "not valid in current SASL state" in text:
        return no_login_wanted(broker)
    if "mechanism handshake failed" in text:
        return mechanism_not_offered(broker, text.partition("supported mechanisms:")[2].partition(" (after")[0].strip())
    return login_rejected(broker)
