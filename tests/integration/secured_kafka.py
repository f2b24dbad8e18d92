"""The embedded broker with further listeners: TLS, client certificates, logins, tokens, an unknown advertised name."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import structs

from adapters.runtime.addresses import Secret
from adapters.runtime.kafka_connection import KafkaConnection
from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.settings import Settings
from infra.local_stack.embedded_kafka import EmbeddedKafka
from tests.integration.token_endpoint import SCOPE

USER: Final = "alice"
PASSWORD: Final = "open sesame @/#%"  # noqa: S105
LISTENERS: Final = {
    "TLS": "SSL",
    "MUTUAL": "SSL",
    "LOGIN": "SASL_SSL",
    "CLEARLOGIN": "SASL_PLAINTEXT",
    "TOKENS": "SASL_PLAINTEXT",
    "TLSTOKENS": "SASL_SSL",
    "AWAY": "PLAINTEXT",
}
SESSION_MS: Final = 60_000
"""Time after which the broker ends the session of a client with a token that has not logged in again; before that, when
its token expires."""
_MECHANISMS: Final = ("SCRAM-SHA-256", "SCRAM-SHA-512")
_CLIENT: Final = {"certificate": "client.pem", "key": "client-key.pem"}
_JAAS: Final = "org.apache.kafka.common.security"


def make_certificates(folder: Path) -> None:
    """Write an authority, a certificate of the server and of a client, and another authority that signed nothing."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["/usr/bin/env", "openssl", *arguments], check=True, capture_output=True, cwd=folder)

    for name in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                "-keyout", f"{name}-key.pem", "-out", f"{name}.pem")  # fmt: skip
    names = {"server": "subjectAltName=DNS:localhost,IP:127.0.0.1", "client": "subjectAltName=DNS:client"}
    for name, extension in names.items():
        (folder / "extensions").write_text(extension)
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}-key.pem",
                "-out", f"{name}.csr")  # fmt: skip
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial",
                "-days", "2", "-extfile", "extensions", "-out", f"{name}.pem")  # fmt: skip
    openssl("pkcs8", "-topk8", "-v2", "aes-256-cbc", "-in", "client-key.pem", "-passout", f"pass:{PASSWORD}",
            "-out", "client-encrypted.pem")  # fmt: skip
    (folder / "keystore.pem").write_text((folder / "server-key.pem").read_text() + (folder / "server.pem").read_text())


class SecuredKafka(EmbeddedKafka):
    """An embedded broker with the listeners of `LISTENERS`, whose logins are `USER` and `PASSWORD`."""

    def __init__(self, settings: Settings, certificates: Path) -> None:
        super().__init__(settings)
        self.certificates = certificates
        self._ports = dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True))

    def reached_by(self, listener: str) -> KafkaConnection:
        """The right way to reach a listener."""
        protocol = LISTENERS[listener]
        connection = KafkaConnection(self.bootstrap_of(listener), security_protocol=protocol)
        if protocol.endswith("SSL"):
            connection = structs.replace(connection, ca_file=self.certificates / "ca.pem")
        if listener == "MUTUAL":
            files = {
                name: self.certificates / f"client{end}.pem" for name, end in (("certificate", ""), ("key", "-key"))
            }
            connection = structs.replace(connection, **files)
        if protocol.startswith("SASL"):
            login = {"sasl_mechanism": "SCRAM-SHA-512", "username": USER, "password": Secret(PASSWORD)}
            connection = structs.replace(connection, **login)
        return connection.validated()

    def bootstrap_of(self, listener: str) -> str:
        """The address of a listener."""
        return f"{LOOPBACK}:{self._ports[listener]}"

    def _format_options(self) -> Sequence[str]:
        scram = [f'{mechanism}=[name={USER},password="{PASSWORD}"]' for mechanism in _MECHANISMS]
        return [part for option in scram for part in ("--add-scram", option)]

    def _write_properties(self) -> Path:
        file = super()._write_properties()
        opened = {name: f"{name}://{LOOPBACK}:{port}" for name, port in self._ports.items()}
        plain = f"PLAINTEXT://{self.bootstrap}"
        protocols = {"CONTROLLER": "PLAINTEXT", "PLAINTEXT": "PLAINTEXT", **LISTENERS}
        values = {
            "listeners": ",".join([plain, f"CONTROLLER://{LOOPBACK}:{self._controller_port}", *opened.values()]),
            "advertised.listeners": ",".join([plain, *{**opened, "AWAY": "AWAY://broker.invalid:9092"}.values()]),
            "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.certificates / "keystore.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.certificates / "ca.pem"),
            "listener.name.mutual.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": ",".join([*_MECHANISMS, "PLAIN"]),
        }
        # Kafka's own validator for tests: it reads expiry and scope of a JWT, and asks for no signature.
        claims = f'unsecuredLoginStringClaim_sub="broker" unsecuredValidatorRequiredScope="{SCOPE}"'
        for name in ("tokens", "tlstokens"):
            values |= {
                f"listener.name.{name}.sasl.enabled.mechanisms": "OAUTHBEARER",
                f"listener.name.{name}.oauthbearer.sasl.jaas.config": (
                    f"{_JAAS}.oauthbearer.OAuthBearerLoginModule required {claims};"
                ),
                f"listener.name.{name}.oauthbearer.connections.max.reauth.ms": str(SESSION_MS),
            }
        for name in ("login", "clearlogin"):
            for mechanism in _MECHANISMS:
                key = f"listener.name.{name}.{mechanism.lower()}.sasl.jaas.config"
                values[key] = f"{_JAAS}.scram.ScramLoginModule required;"
            user = f'user_{USER}="{PASSWORD}"'
            values[f"listener.name.{name}.plain.sasl.jaas.config"] = f"{_JAAS}.plain.PlainLoginModule required {user};"
        file.write_text(file.read_text() + "".join(f"{key}={value}\n" for key, value in values.items()))
        return file
