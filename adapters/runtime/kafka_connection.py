"""How Kafka is reached: client, addresses, TLS and login, as one immutable object that all of our adapters take."""

from __future__ import annotations

import re
import ssl
from enum import StrEnum
from pathlib import Path
from typing import Final

from msgspec import Struct

from adapters.runtime.addresses import HttpUrl, Secret, plain, split_userinfo
from cardwatch.errors import Misconfigured

PREFIX: Final = "CARDWATCH_KAFKA_"

PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
OAUTHBEARER: Final = "OAUTHBEARER"
MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", OAUTHBEARER)

OIDC: Final = "oidc"
"""Tokens of an identity provider, by the client credentials grant of OAuth 2."""
MSK_IAM: Final = "msk-iam"
"""Tokens signed with credentials of AWS, for MSK."""
TOKEN_PROVIDERS: Final = (OIDC, MSK_IAM)

_LOGINS: Final = {
    "": (("USERNAME", "PASSWORD"), ()),
    OIDC: (("TOKEN_URL", "USERNAME", "PASSWORD"), ("TOKEN_SCOPE",)),
    MSK_IAM: (("AWS_REGION",), ()),
}
"""The settings that a login needs, and those that it may have, by its token provider; empty for other mechanisms."""
_REGION: Final = re.compile(r"[a-z0-9-]{1,32}")

_ADDRESS: Final = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?")


class KafkaClient(StrEnum):
    """The library with which the broker is reached; `adapters.kafka` has the same behaviour with each."""

    CONFLUENT = "confluent-kafka"
    """librdkafka, in C: fast."""
    KAFKA_PYTHON = "kafka-python"
    """In Python: no compiled part, and about two thirds of the rate."""


class KafkaConnection(Struct, frozen=True):
    """Addresses of a cluster, and how its clients encrypt and log in. It is shown as its addresses.

    The security protocol is one of `PROTOCOLS`, the mechanism one of `MECHANISMS`. With OAUTHBEARER the token provider
    is one of `TOKEN_PROVIDERS`; user and password are then the client and its secret at the identity provider. Without
    `ca_file` the machine's authorities are trusted. The broker's certificate must be for the name in its address.
    """

    bootstrap: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = ""
    username: str = ""
    password: Secret = Secret("")
    token_provider: str = ""
    token_url: HttpUrl = HttpUrl("")
    token_scope: str = ""
    aws_region: str = ""
    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    key_password: Secret = Secret("")
    client: KafkaClient = KafkaClient.CONFLUENT

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.security_protocol.endswith("SSL")

    @property
    def uses_sasl(self) -> bool:
        """Whether clients log in, with a password or a token."""
        return self.security_protocol.startswith("SASL_")

    @property
    def uses_tokens(self) -> bool:
        """Whether clients log in with a token."""
        return self.uses_sasl and self.sasl_mechanism == OAUTHBEARER

    def __str__(self) -> str:
        """Return the addresses."""
        return self.bootstrap

    def validated(self) -> KafkaConnection:
        """Return the connection. Raises `Misconfigured`, with the variable, if its values do not fit each other."""
        self._require_addresses()
        if self.security_protocol not in PROTOCOLS:
            raise _wrong("SECURITY_PROTOCOL", self.security_protocol, f"expected one of {', '.join(PROTOCOLS)}")
        self._require_login()
        self._require_tls()
        return self

    def _require_addresses(self) -> None:
        for address in self.bootstrap.split(","):
            found = _ADDRESS.fullmatch(address.strip())
            if found is None or not 0 < int(found[1] or 1) < 1 << 16:
                shown = repr(self.bootstrap) if "@" not in self.bootstrap else "..."
                raise Misconfigured(
                    f"{PREFIX}BOOTSTRAP={shown}: expected addresses like host:9092, separated by commas, without a "
                    f"scheme ({PREFIX}SECURITY_PROTOCOL says TLS) and without a login ({PREFIX}USERNAME)"
                )

    def _require_login(self) -> None:
        values = {
            "SASL_MECHANISM": self.sasl_mechanism,
            "USERNAME": self.username,
            "PASSWORD": self.password,
            "TOKEN_PROVIDER": self.token_provider,
            "TOKEN_URL": self.token_url,
            "TOKEN_SCOPE": self.token_scope,
            "AWS_REGION": self.aws_region,
        }
        given = [name for name, value in values.items() if value]
        if not self.uses_sasl:
            if given:
                raise Misconfigured(
                    f"{PREFIX}{given[0]} is set, but {PREFIX}SECURITY_PROTOCOL={self.security_protocol} sends no "
                    "login: set it to SASL_SSL, or to SASL_PLAINTEXT without TLS"
                )
            return
        if self.sasl_mechanism not in MECHANISMS:
            raise _wrong("SASL_MECHANISM", self.sasl_mechanism, f"expected one of {', '.join(MECHANISMS)}")
        if self.uses_tokens:
            self._require_token_provider()
        kind = self.token_provider if self.uses_tokens else ""
        chosen = f"TOKEN_PROVIDER={kind}" if kind else f"SECURITY_PROTOCOL={self.security_protocol}"
        needed, possible = _LOGINS[kind]
        for name in needed:
            if name not in given:
                raise Misconfigured(f"{PREFIX}{name} is not set: {PREFIX}{chosen} needs it")
        known = {"SASL_MECHANISM", *needed, *possible} | ({"TOKEN_PROVIDER"} if kind else set())
        for name in given:
            if name not in known:
                used = chosen if kind else f"SASL_MECHANISM={self.sasl_mechanism}"
                raise Misconfigured(f"{PREFIX}{name} is set, but {PREFIX}{used} does not use it: remove it")

    def _require_token_provider(self) -> None:
        if self.token_provider not in TOKEN_PROVIDERS:
            reason = f"{PREFIX}SASL_MECHANISM={OAUTHBEARER} needs one of {', '.join(TOKEN_PROVIDERS)}"
            raise _wrong("TOKEN_PROVIDER", self.token_provider, reason)
        if self.token_provider == MSK_IAM and not self.uses_tls:
            raise Misconfigured(
                f"{PREFIX}TOKEN_PROVIDER={MSK_IAM} needs {PREFIX}SECURITY_PROTOCOL=SASL_SSL: MSK takes logins by IAM "
                "over TLS only"
            )
        if split_userinfo(self.token_url).username:
            raise Misconfigured(
                f"{PREFIX}TOKEN_URL holds a login: the client and its secret belong in {PREFIX}USERNAME and "
                f"{PREFIX}PASSWORD"
            )
        if self.aws_region and not _REGION.fullmatch(self.aws_region):
            raise _wrong("AWS_REGION", self.aws_region, "expected the name of a region, like eu-central-1")

    def _require_tls(self) -> None:
        files = {"CA_FILE": self.ca_file, "CERTIFICATE": self.certificate, "KEY": self.key}
        given = {name: path for name, path in files.items() if path is not None}
        if given and not self.uses_tls:
            raise Misconfigured(
                f"{PREFIX}{next(iter(given))} is set, but {PREFIX}SECURITY_PROTOCOL={self.security_protocol} does not "
                "use TLS: set it to SSL, or to SASL_SSL with a login"
            )
        if ("CERTIFICATE" in given) != ("KEY" in given):
            raise Misconfigured(f"{PREFIX}CERTIFICATE and {PREFIX}KEY: a client certificate needs both, or neither")
        if self.key_password and self.key is None:
            raise Misconfigured(f"{PREFIX}KEY_PASSWORD is set, but {PREFIX}KEY is not")
        for name, path in given.items():
            if not path.is_file():
                raise _wrong(name, str(path), "there is no such file")
        if self.ca_file is not None:
            try:
                ssl.create_default_context(cafile=self.ca_file)
            except OSError as error:  # includes SSLError
                raise _wrong("CA_FILE", str(self.ca_file), f"it holds no certificates in PEM ({error})") from error
        if self.certificate is not None and self.key is not None:
            try:
                # Not asked for on the terminal if the key is encrypted.
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.load_cert_chain(self.certificate, self.key, lambda: plain(self.key_password))
            except (OSError, ValueError) as error:
                reason = f"with {PREFIX}KEY and {PREFIX}KEY_PASSWORD it is no client certificate in PEM ({error})"
                raise _wrong("CERTIFICATE", str(self.certificate), reason) from error


def _wrong(name: str, value: str, reason: str) -> Misconfigured:
    return Misconfigured(f"{PREFIX}{name}={value!r}: {reason}")
