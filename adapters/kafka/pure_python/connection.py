"""Settings, connections and errors of kafka-python. All consumers read committed records."""

from __future__ import annotations

import logging
from typing import Any, Final

from kafka import errors
from kafka.consumer.fetcher import ConsumerRecord
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.sasl.oauth import AbstractTokenProvider
from kafka.net.selector import NetworkSelector

from adapters.kafka.diagnosis import (
    Cause,
    cause_of,
    client_certificate_wanted,
    login_rejected,
    mechanism_not_offered,
    no_login_wanted,
    no_tls,
    untrusted_certificate,
)
from adapters.kafka.limits import REQUEST_SECONDS
from adapters.kafka.port import Failure, RequestFailed
from adapters.kafka.pure_python.header_names import accept_any_header_name
from adapters.kafka.tokens import TokenSource, token_source
from adapters.runtime.addresses import plain
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.errors import CardwatchError
from cardwatch.records import Record, trace_headers

OLDEST_BROKER: Final = (2, 8)
"""Version whose requests are sent. With a given version a client is made without a broker; newer brokers answer it."""
REQUEST_TIMEOUT_MS: Final = int(1_000 * REQUEST_SECONDS)
RECONNECT_MS: Final = {"reconnect_backoff_ms": 20, "reconnect_backoff_max_ms": 500}
"""A broker that was away is found again within half a second."""

_FAILURES: Final[dict[Failure, tuple[type[Exception], ...]]] = {
    Failure.SUPERSEDED: (
        errors.ProducerFencedError,
        errors.InvalidProducerEpochError,
        errors.FencedInstanceIdError,
        errors.IllegalGenerationError,
        errors.UnknownMemberIdError,
    ),
    Failure.UNKNOWN_TOPIC: (errors.UnknownTopicOrPartitionError,),
    Failure.FORBIDDEN: (errors.AuthorizationError,),
    Failure.REJECTED: (
        errors.SaslAuthenticationFailedError,
        errors.UnsupportedSaslMechanismError,
        errors.IllegalSaslStateError,
    ),
    Failure.ELECTION: (
        errors.CoordinatorLoadInProgressError,
        errors.CoordinatorNotAvailableError,
        errors.NotCoordinatorError,
        errors.NotLeaderForPartitionError,
        errors.LeaderNotAvailableError,
        errors.FencedLeaderEpochError,
        errors.UnknownLeaderEpochError,
    ),
}


class Connections:
    """The state of the connections of one client: whether one is open, and why the newest one failed.

    kafka-python tells why it cannot connect in its log only, which is silent here.
    """

    def __init__(self, broker: KafkaConnection) -> None:
        self._broker = broker
        self._open: set[int] = set()
        self._has_failed = False
        self.cause: Cause | None = None
        """The newest known reason since a connection was opened."""

    @property
    def are_all_down(self) -> bool:
        """Whether connecting has failed, and no connection is open."""
        return self._has_failed and not self._open

    def client(self, **settings: Any) -> KafkaNetClient:
        """Return the network part of a client that reports its connections here; the setting `kafka_client`."""
        net = NetworkSelector(**settings)
        return KafkaNetClient(net, _ObservedManager(self, net, **settings), **settings)

    def opened(self, connection: Any) -> None:
        """Note an open connection."""
        self._open.add(id(connection))
        self._has_failed, self.cause = False, None

    def closed(self, connection: Any, error: Exception | None) -> None:
        """Note a connection that was closed, or that failed before it was open. The reason may come before the end."""
        self._open.discard(id(connection))
        if error is not None:
            self._has_failed = True
            self.cause = explain(error, self._broker) or self.cause


class _SharedTokens(AbstractTokenProvider):  # type: ignore[misc]
    def __init__(self, source: TokenSource) -> None:
        super().__init__()
        self._source = source

    def token(self) -> str:
        """Return a valid token; what it raises ends the connection, and is told by `explain`."""
        return plain(self._source.token().text)


class _ObservedManager(KafkaConnectionManager):  # type: ignore[misc]
    def __init__(self, connections: Connections, net: NetworkSelector, **settings: Any) -> None:
        super().__init__(net, **settings)
        self._connections = connections

    async def _build_transport(self, *arguments: Any, **options: Any) -> Any:
        """Return a transport that passes on what the broker sent before it closed the connection: why, for example.

        The library drops it, if it receives the end of the stream together with it.
        """
        transport = await super()._build_transport(*arguments, **options)
        receive = transport._sock_recv

        def receive_before_end() -> tuple[bytes, Exception | None]:
            data, error = receive()
            return data, None if data else error

        transport._sock_recv = receive_before_end
        return transport

    def get_connection(self, node_id: Any, *arguments: Any, **options: Any) -> Any:
        """Return the connection to a broker, which is then observed."""
        connection = super().get_connection(node_id, *arguments, **options)
        if not getattr(connection, "is_observed", False):
            connection.is_observed = True
            connection.init_future.add_callback(lambda _: self._connections.opened(connection))
            connection.init_future.add_errback(lambda error: self._connections.closed(connection, error))
            connection.close_future.add_callback(lambda _: self._connections.closed(connection, None))
            connection.close_future.add_errback(lambda error: self._connections.closed(connection, error))
        return connection


def client_settings(broker: KafkaConnection, connections: Connections) -> dict[str, Any]:
    """Return the settings of kafka-python with which a client connects.

    With OAUTHBEARER a token is fetched first, as with the other client. Raises `BrokerUnavailable` or `Misconfigured`
    without a token.
    """
    _silence()
    values = {
        "sasl_mechanism": broker.sasl_mechanism,
        "sasl_plain_username": "" if broker.uses_tokens else broker.username,
        "sasl_plain_password": "" if broker.uses_tokens else plain(broker.password),
        "ssl_cafile": broker.ca_file,
        "ssl_certfile": broker.certificate,
        "ssl_keyfile": broker.key,
        "ssl_password": plain(broker.key_password),
    }
    return {
        "bootstrap_servers": [address.strip() for address in broker.bootstrap.split(",")],
        "security_protocol": broker.security_protocol,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "kafka_client": connections.client,
        **RECONNECT_MS,
        **{name: str(value) for name, value in values.items() if value},
        **_token_settings(broker),
    }


def _token_settings(broker: KafkaConnection) -> dict[str, Any]:
    """Return what gives kafka-python a token; its event loop waits for it."""
    if not broker.uses_tokens:
        return {}
    source = token_source(broker)
    source.token()
    return {"sasl_oauth_token_provider": _SharedTokens(source)}


def consumer_settings(broker: KafkaConnection, connections: Connections) -> dict[str, Any]:
    """Return the settings of a consumer that reads committed records and commits no offsets by itself."""
    accept_any_header_name()
    return {
        **client_settings(broker, connections),
        "api_version": OLDEST_BROKER,
        "isolation_level": "read_committed",
        "enable_auto_commit": False,
        "allow_auto_create_topics": False,
        "metrics_enabled": False,
        "retry_backoff_ms": 20,
    }


def to_record(found: ConsumerRecord) -> Record:
    """Return a record of kafka-python as a `Record`."""
    return Record(
        found.topic,
        found.partition,
        found.offset,
        max(found.timestamp, 0),
        found.key,
        found.value,
        trace_headers(found.headers) if found.headers else (),
    )


def failed(error: BaseException) -> RequestFailed:
    """Return an error of the library as that of the port."""
    for failure, kinds in _FAILURES.items():
        if isinstance(error, kinds):
            return RequestFailed(str(error), failure)
    return RequestFailed(str(error) or type(error).__name__)


def explain(error: Exception, broker: KafkaConnection) -> Cause | None:  # noqa: PLR0911 (one reason each)
    """Return what an error about TLS or the login means, None for another error."""
    text = str(error)
    if isinstance(error, CardwatchError):  # there is no token
        return cause_of(error)
    if isinstance(error, errors.IllegalSaslStateError):
        return no_login_wanted(broker)
    if isinstance(error, errors.UnsupportedSaslMechanismError):
        return mechanism_not_offered(broker, "")
    if isinstance(error, errors.SaslAuthenticationFailedError):
        return login_rejected(broker)
    if "certificate verify failed" in text:
        return untrusted_certificate(broker)
    if "certificate required" in text or "bad certificate" in text or "unknown ca" in text:
        return client_certificate_wanted(broker)
    if "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER_FAILURE" in text or "EOF occurred" in text:
        return no_tls(broker)
    return None


def _silence() -> None:
    """Switch off the log of the library. What it says there is raised, or told by `Connections`."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL + 1)
