"""Why a broker cannot be used: what librdkafka reports in the background, and what a connection without Kafka shows.

A request to a broker that closes the connection only times out. The reasons go to the callback of errors, or nowhere: a
TLS listener, for example, gives a client without TLS no answer, so it is asked for a TLS handshake.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final, NamedTuple

from confluent_kafka import KafkaError

from adapters.runtime.kafka_connection import PREFIX, KafkaConnection

PROBE_SECONDS: Final = 2.0
"""Time for connecting to all brokers at once, name resolution included."""
_DEFAULT_PORT: Final = 9092
_PROTOCOL: Final = f"{PREFIX}SECURITY_PROTOCOL"

# Errors at an address that a broker has advertised: they have the broker's number where others have "bootstrap".
_ADVERTISED: Final = re.compile(r"(?:\w+://)?(\S+:\d+)/\d+: ((?:Failed to resolve|Connect to).*?)(?: \(after|$)")


class Cause(NamedTuple):
    """A reason and what to do; `is_permanent` if no retry can succeed before a setting is corrected."""

    text: str
    is_permanent: bool


class ErrorLog:
    """The newest informative error of a client; an instance is its `error_cb`, which its threads call."""

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
    text, code = error.str(), error.code()
    if code == KafkaError._AUTHENTICATION:
        return Cause(_explain_login(text, broker), True)
    if (found := _ADVERTISED.match(text)) and not set(split_addresses(found[1])) & set(
        split_addresses(broker.bootstrap)
    ):
        return Cause(
            f"the broker sends its clients on to an address that this machine cannot reach: {found[1]} ({found[2]}). "
            "Correct advertised.listeners of the broker, or make this name known here",
            False,
        )
    if "certificate verify failed" in text:
        return Cause(
            "the certificate of the broker is not trusted: its authority must be in the file "
            f"{PREFIX}CA_FILE ({'not set' if broker.ca_file is None else broker.ca_file}), and it must be for the host "
            "name in the address",
            True,
        )
    if "PLAINTEXT broker listener" in text or "wrong version number" in text:
        clear = "SASL_PLAINTEXT" if broker.uses_sasl else "PLAINTEXT"
        return Cause(
            f"the listener does not speak TLS, but {_PROTOCOL}={broker.security_protocol}: set it to {clear}, or give "
            "the address of a TLS listener",
            False,
        )
    if "certificate required" in text or "bad certificate" in text or "unknown ca" in text:
        wanted = "another client certificate" if broker.certificate else "a client certificate"
        return Cause(f"the broker wants {wanted}: set {PREFIX}CERTIFICATE and {PREFIX}KEY", True)
    return None


def explain_silence(broker: KafkaConnection) -> str:
    """Return why brokers do not answer although nothing was reported, after connecting to one of them without Kafka."""
    addresses = split_addresses(broker.bootstrap)
    failures = unreachable(addresses)
    reachable = [address for address in addresses if address not in failures]
    if not reachable:
        reasons = "; ".join(f"{host}:{port}: {failures[host, port]}" for host, port in addresses)
        return f"{reasons}. Start it, or correct {PREFIX}BOOTSTRAP (leave it empty for the embedded broker)"
    host, port = reachable[0]
    if not broker.uses_tls and speaks_tls(host, port):
        wanted = "SASL_SSL" if broker.uses_sasl else "SSL, or to SASL_SSL with a login"
        return (
            f"the listener at {host}:{port} speaks TLS, but {_PROTOCOL}={broker.security_protocol}: set it to "
            f"{wanted}, and {PREFIX}CA_FILE if this machine does not know the authority of its certificate"
        )
    if not broker.uses_sasl:
        wanted = "SASL_SSL" if broker.uses_tls else "SASL_PLAINTEXT, or SASL_SSL with TLS"
        return (
            f"{host}:{port} accepts connections and closes them or is silent. It may want a login (SASL): set "
            f"{_PROTOCOL} to {wanted}. Or it is no Kafka broker: correct {PREFIX}BOOTSTRAP"
        )
    return f"{host}:{port} accepts connections, but does not answer like a Kafka broker: correct {PREFIX}BOOTSTRAP"


def split_addresses(bootstrap: str) -> list[tuple[str, int]]:
    """Return host and port of each address."""
    found = []
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        is_bare = not host or (host.startswith("[") and not host.endswith("]"))
        found.append((address.strip().strip("[]"), _DEFAULT_PORT) if is_bare else (host.strip("[]"), int(port)))
    return found


def unreachable(
    addresses: Sequence[tuple[str, int]], *, timeout_seconds: float = PROBE_SECONDS
) -> Mapping[tuple[str, int], str]:
    """Return the addresses that accept no connection, with the reason; all are tried at once."""
    results: SimpleQueue[tuple[tuple[str, int], str | None]] = SimpleQueue()

    def connect(address: tuple[str, int]) -> None:
        try:
            socket.create_connection(address, timeout_seconds).close()
            results.put((address, None))
        except socket.gaierror as error:
            results.put((address, f"the name does not resolve ({error.strerror})"))
        except OSError as error:
            results.put((address, (error.strerror or str(error) or type(error).__name__).lower()))

    wanted = dict.fromkeys(addresses)
    for address in wanted:
        Thread(target=connect, args=(address,), daemon=True).start()  # resolving a name has no timeout of its own
    failures = dict.fromkeys(wanted, f"no connection within {timeout_seconds:g} s")
    deadline = time.monotonic() + timeout_seconds
    for _ in wanted:
        try:
            address, failure = results.get(timeout=max(deadline - time.monotonic(), 0.0))
        except Empty:
            break
        if failure is None:
            del failures[address]
        else:
            failures[address] = failure
    return failures


def speaks_tls(host: str, port: int) -> bool:
    """Whether a TLS handshake succeeds there, with any certificate, or is refused in TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), PROBE_SECONDS) as plain, context.wrap_socket(plain):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except OSError:
        return False


def _explain_login(text: str, broker: KafkaConnection) -> str:
    if "not valid in current SASL state" in text:
        clear = "SSL" if broker.uses_tls else "PLAINTEXT"
        return f"the listener wants no login: set {_PROTOCOL} to {clear}, or give the address of a SASL listener"
    if "mechanism handshake failed" in text:
        supported = text.partition("supported mechanisms:")[2].partition(" (after")[0].strip()
        return f"the broker does not offer {PREFIX}SASL_MECHANISM={broker.sasl_mechanism}, but {supported or 'others'}"
    return (
        f"the broker rejects the login of user {broker.username!r} with {broker.sasl_mechanism}: correct "
        f"{PREFIX}USERNAME, {PREFIX}PASSWORD or {PREFIX}SASL_MECHANISM"
    )
