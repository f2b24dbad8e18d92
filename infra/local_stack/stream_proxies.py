"""Toxiproxy between each stream worker and broker, scoring service and feature store, so that the network can fail."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from adapters.local_stack.network_faults import (
    KAFKA,
    PROXIES_FILE,
    PROXY,
    SCORING,
    STORE,
    proxy_name,
)
from adapters.local_stack.readiness import is_responding
from adapters.local_stack.toxiproxy import VERSION_PATH, ForwardedAddress
from adapters.runtime.addresses import plain, split_userinfo
from adapters.runtime.files import write_atomically
from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.settings import PREFIX, Settings, child_environment
from cardwatch.errors import Misconfigured
from infra.local_stack.embedded_kafka import EmbeddedKafka
from infra.local_stack.supervisor import ProcessSpec
from infra.reporting import Report

_SERVERS: Final = (KAFKA, SCORING, STORE)
_VARIABLES: Final = {
    KAFKA: f"{PREFIX}KAFKA_BOOTSTRAP",
    SCORING: f"{PREFIX}SCORING_URL",
    STORE: f"{PREFIX}STORE_URL",
}
_STORE_PORT: Final = 6379
_CHECK_SECONDS: Final = 10.0
_INSTALL: Final = (
    "install it, for example with `go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0`, and name its file; "
    "or unset the variable, and the stack runs without network faults"
)


def find_toxiproxy(chosen: str) -> Path:
    """Return the path of Toxiproxy's server. `chosen` is `Settings.toxiproxy`, a path or a name on the PATH.

    Raises `Misconfigured` if it is no program, or another one.
    """
    setting = f"{PREFIX}TOXIPROXY={chosen!r}"
    path = shutil.which(chosen)
    if path is None:
        raise Misconfigured(f"{setting} is not an executable file. It must be Toxiproxy's server: {_INSTALL}")
    try:
        answer = subprocess.run(
            [path, "-version"], capture_output=True, text=True, errors="replace", check=False, timeout=_CHECK_SECONDS
        )
        said = (answer.stdout + answer.stderr).strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        said = str(error)
    if not said.startswith("toxiproxy-server"):
        raise Misconfigured(f"{setting} is not Toxiproxy's server, to -version it says {said[:80]!r}: {_INSTALL}")
    return Path(path).absolute()


class StreamProxies:
    """The proxies of the stream `workers`, each of which has an address of its own for each server.

    A server that is not in `servers` is reached directly.
    """

    def __init__(self, program: Path, workers: Sequence[str], servers: Sequence[str]) -> None:
        self._program = program
        port, *listening = (f"{LOOPBACK}:{port}" for port in free_ports(1 + len(workers) * len(_SERVERS)))
        self.url = f"http://{port}"
        """Address of Toxiproxy's HTTP API."""
        addresses = iter(listening)
        self._listen = {
            worker: {server: next(addresses) for server in _SERVERS if server in servers} for worker in workers
        }

    @property
    def broker_addresses(self) -> list[str]:
        """The address at which each worker reaches the broker; none if they reach it directly."""
        return [listen[KAFKA] for listen in self._listen.values() if KAFKA in listen]

    def process_spec(self, settings: Settings, brokers: Sequence[str]) -> ProcessSpec:
        """Return how to start Toxiproxy, after writing the file with the proxies.

        `brokers` are the listeners behind `broker_addresses`. The servers need not run yet.
        """
        file = settings.home / PROXIES_FILE
        write_atomically(file, msgspec.json.encode(self._proxies(settings, brokers)))
        url = urlsplit(self.url)
        return ProcessSpec(
            name=PROXY,
            command=[
                str(self._program),
                *("-host", str(url.hostname)),
                *("-port", str(url.port)),
                *("-config", str(file)),
            ],
            environment=child_environment(settings, LOG_LEVEL="warn"),  # Toxiproxy's own variable
            ready=lambda: is_responding(self.url + VERSION_PATH),
        )

    def environment_of(self, process: str, settings: Settings) -> dict[str, str]:
        """Return the variables with which a process reaches the servers through its proxies, if it is a worker."""
        urls = {KAFKA: "", SCORING: settings.scoring_url, STORE: settings.store_url}
        return {
            _VARIABLES[server]: _with_address(plain(urls[server]), address)
            for server, address in self._listen.get(process, {}).items()
        }

    def _proxies(self, settings: Settings, brokers: Sequence[str]) -> list[ForwardedAddress]:
        behind = dict(zip(self.broker_addresses, brokers, strict=True))
        scoring, store = (urlsplit(split_userinfo(url).url) for url in (settings.scoring_url, settings.store_url))
        upstreams = {
            SCORING: scoring.netloc,
            STORE: store.netloc if store.port is not None else f"{store.netloc}:{_STORE_PORT}",
        }
        return [
            ForwardedAddress(
                name=proxy_name(worker, server), listen=address, upstream=behind.get(address) or upstreams[server]
            )
            for worker, listen in self._listen.items()
            for server, address in listen.items()
        ]


class ProxiedKafka(EmbeddedKafka):
    """An embedded broker with a further listener for each address, which it advertises there: that of a proxy."""

    def __init__(
        self, settings: Settings, advertised: Sequence[str], *, port: int = 0, report: Report = lambda _: None
    ) -> None:
        super().__init__(settings, port=port, report=report)
        ports = free_ports(len(advertised))
        self._proxied = {
            f"PROXY{number}": (f"{LOOPBACK}:{own}", address)
            for number, (own, address) in enumerate(zip(ports, advertised, strict=True))
        }

    @property
    def behind(self) -> list[str]:
        """Where the broker listens for the connections of each proxy."""
        return [own for own, _ in self._proxied.values()]

    def _properties(self) -> dict[str, str]:
        values = super()._properties()
        if not self._proxied:
            return values
        protocols = values["listener.security.protocol.map"]
        return {
            **values,
            "listeners": ",".join([values["listeners"], *(f"{n}://{own}" for n, (own, _) in self._proxied.items())]),
            "advertised.listeners": ",".join(
                [f"PLAINTEXT://{self.bootstrap}", *(f"{n}://{address}" for n, (_, address) in self._proxied.items())]
            ),
            "listener.security.protocol.map": ",".join([protocols, *(f"{n}:PLAINTEXT" for n in self._proxied)]),
        }


def can_forward_store(settings: Settings) -> bool:
    """Whether the feature store is a server that can be reached at another address than its own.

    One with TLS cannot, because its certificate names its host.
    """
    return plain(settings.store_url).startswith(("redis://", "valkey://"))


def _with_address(url: str, address: str) -> str:
    """Return a URL with another `host:port`; for an empty one, `host:port` itself.

    >>> _with_address("redis://user:secret@cache:6379/1", "127.0.0.1:7")
    'redis://user:secret@127.0.0.1:7/1'
    """
    if not url:
        return address
    parts = urlsplit(url)
    userinfo, separator, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{userinfo}{separator}{address}").geturl()
