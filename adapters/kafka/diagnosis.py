"""Why a broker cannot be used: the reasons that a client can report, and what a connection without Kafka shows.

A request to a broker that closes the connection only times out. A TLS listener, for example, gives a client without TLS
no answer, so it is asked for a TLS handshake. How each client tells its reasons is in the package of the client.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final, NamedTuple

from adapters.runtime.kafka_connection import MSK_IAM, PREFIX, KafkaConnection
from cardwatch.errors import CardwatchError

PROBE_SECONDS: Final = 2.0
"""Time for connecting to all brokers at once, name resolution included."""
_DEFAULT_PORT: Final = 9092
_PROTOCOL: Final = f"{PREFIX}SECURITY_PROTOCOL"


class Cause(NamedTuple):
    """A reason and what to do; `is_permanent` if no retry can succeed before a setting is corrected."""

    text: str
    is_permanent: bool


def cause_of(error: CardwatchError) -> Cause:
    """Return an error that was raised before or while a client connected, as a reason."""
    return Cause(str(error), not error.retriable)


def login_rejected(broker: KafkaConnection) -> Cause:
    """The broker knows no such user, the password is another, or it does not accept the token."""
    if broker.uses_tokens:
        return _token_rejected(broker)
    return Cause(
        f"the broker rejects the login of user {broker.username!r} with {broker.sasl_mechanism}: correct "
        f"{PREFIX}USERNAME, {PREFIX}PASSWORD or {PREFIX}SASL_MECHANISM",
        True,
    )


def _token_rejected(broker: KafkaConnection) -> Cause:
    if broker.token_provider == MSK_IAM:
        return Cause(
            "the broker rejects the login of the AWS credentials of this process: they need the right "
            f"kafka-cluster:Connect on the cluster, and {PREFIX}AWS_REGION={broker.aws_region} must be its region",
            True,
        )
    return Cause(
        f"the broker rejects the token of client {broker.username!r}: it must trust the issuer behind "
        f"{PREFIX}TOKEN_URL ({broker.token_url}), and accept the token's audience and scope; correct "
        f"{PREFIX}TOKEN_URL, {PREFIX}USERNAME or {PREFIX}TOKEN_SCOPE",
        True,
    )


def mechanism_not_offered(broker: KafkaConnection, offered: str) -> Cause:
    """The broker offers other SASL mechanisms."""
    return Cause(
        f"the broker does not offer {PREFIX}SASL_MECHANISM={broker.sasl_mechanism}, but {offered or 'others'}", True
    )


def no_login_wanted(broker: KafkaConnection) -> Cause:
    """The listener has no SASL."""
    clear = "SSL" if broker.uses_tls else "PLAINTEXT"
    return Cause(
        f"the listener wants no login: set {_PROTOCOL} to {clear}, or give the address of a SASL listener", True
    )


def untrusted_certificate(broker: KafkaConnection) -> Cause:
    """The broker's certificate is of an unknown authority, or for another name."""
    return Cause(
        "the certificate of the broker is not trusted: its authority must be in the file "
        f"{PREFIX}CA_FILE ({'not set' if broker.ca_file is None else broker.ca_file}), and it must be for the host "
        "name in the address",
        True,
    )


def no_tls(broker: KafkaConnection) -> Cause:
    """The listener does not answer in TLS."""
    clear = "SASL_PLAINTEXT" if broker.uses_sasl else "PLAINTEXT"
    return Cause(
        f"the listener does not speak TLS, but {_PROTOCOL}={broker.security_protocol}: set it to {clear}, or give "
        "the address of a TLS listener",
        False,
    )


def client_certificate_wanted(broker: KafkaConnection) -> Cause:
    """The listener authenticates clients by their certificates."""
    wanted = "another client certificate" if broker.certificate else "a client certificate"
    return Cause(f"the broker wants {wanted}: set {PREFIX}CERTIFICATE and {PREFIX}KEY", True)


def advertised_elsewhere(broker: KafkaConnection, address: str, reason: str) -> Cause | None:
    """An advertised address cannot be reached; None if it is a given one, which is then simply away."""
    if set(split_addresses(address)) & set(split_addresses(broker.bootstrap)):
        return None
    return Cause(
        f"the broker sends its clients on to an address that this machine cannot reach: {address} ({reason}). "
        "Correct advertised.listeners of the broker, or make this name known here",
        False,
    )


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
    if broker.uses_tls and ends_handshakes(host, port):
        return no_tls(broker).text  # on a busy machine the client is too late to say so
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
    failure = _failed_handshake(host, port)
    return failure is None or _is_alert(failure)


def ends_handshakes(host: str, port: int) -> bool:
    """Whether the listener ends a TLS handshake without TLS: it closes the connection, or answers something else."""
    failure = _failed_handshake(host, port)
    return failure is not None and not isinstance(failure, TimeoutError) and not _is_alert(failure)


def _failed_handshake(host: str, port: int) -> OSError | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), PROBE_SECONDS) as plain, context.wrap_socket(plain):
            return None
    except OSError as error:
        return error


def _is_alert(failure: OSError) -> bool:
    return isinstance(failure, ssl.SSLError) and "ALERT" in (failure.reason or "")
