"""The local stack with Toxiproxy between each stream worker and broker, scoring service and feature store."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import redis

from adapters.runtime.addresses import plain
from adapters.runtime.kafka_connection import KafkaClient
from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.settings import Settings, child_environment, read_settings
from infra.local_stack.embedded_kafka import EmbeddedKafka
from infra.local_stack.stack import LocalStack
from infra.local_stack.supervisor import ProcessSpec
from tests.e2e.toxiproxy import Proxy, Toxiproxy

STORE = "store"
"""Process of the feature store."""


class ProxiedKafka(EmbeddedKafka):
    """An embedded broker with a further listener for each address, which it advertises there: that of a proxy."""

    def __init__(self, settings: Settings, advertised: Sequence[str], *, port: int) -> None:
        super().__init__(settings, port=port)
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
        protocols = values["listener.security.protocol.map"]
        return {
            **values,
            "listeners": ",".join([values["listeners"], *(f"{n}://{own}" for n, (own, _) in self._proxied.items())]),
            "advertised.listeners": ",".join(
                [f"PLAINTEXT://{self.bootstrap}", *(f"{n}://{address}" for n, (_, address) in self._proxied.items())]
            ),
            "listener.security.protocol.map": ",".join([protocols, *(f"{n}:PLAINTEXT" for n in self._proxied)]),
        }


class Proxies(NamedTuple):
    """The proxies of one worker."""

    kafka: Proxy
    scoring: Proxy
    store: Proxy | None


class ProxiedStack(LocalStack):
    """A stack whose `workers` reach everything through proxies of their own; all other processes do not.

    With `redis` (a program) the feature store is a server, the process `STORE`; without, it is LMDB.
    """

    def __init__(self, settings: Settings, toxiproxy: Path, workers: Sequence[str], redis: str | None) -> None:
        super().__init__(settings)
        self._program, self._redis, self._workers = toxiproxy, redis, workers
        self._addresses = {worker: [f"{LOOPBACK}:{port}" for port in free_ports(3)] for worker in workers}
        self.proxies: dict[str, Proxies] = {}
        [port] = free_ports(1)
        self.toxiproxy_url = f"http://{LOOPBACK}:{port}"

    def environment_of(self, worker: str) -> dict[str, str]:
        """The environment of a process that takes the place of a worker."""
        return self._environment(worker)

    def start_proxies(self) -> Toxiproxy:
        """Start Toxiproxy, with a proxy from each worker to each server, whether or not the server runs yet."""
        assert isinstance(self._kafka, ProxiedKafka)
        port = urlsplit(self.toxiproxy_url).port
        toxiproxy = Toxiproxy(self.toxiproxy_url)
        self.supervisor.start(
            ProcessSpec(
                name="toxiproxy",
                command=[str(self._program), "-host", LOOPBACK, "-port", str(port)],
                environment=child_environment(self.settings, LOG_LEVEL="warn"),
                ready=toxiproxy.is_ready,
            )
        )
        scoring, store = (urlsplit(plain(url)).netloc for url in (self.settings.scoring_url, self.settings.store_url))
        for worker, behind in zip(self._workers, self._kafka.behind, strict=True):
            servers = {"kafka": behind, "scoring": scoring, "store": store}
            opened = {
                server: toxiproxy.forward(f"{worker}-to-{server}", listen, upstream) if upstream else None
                for listen, (server, upstream) in zip(self._addresses[worker], servers.items(), strict=True)
            }
            self.proxies[worker] = Proxies(**opened)
        return toxiproxy

    def start_store(self) -> None:
        """Start the feature store, with the data of its last run."""
        assert self._redis is not None
        self.supervisor.spawn([self._store_spec()])

    def delete_store(self) -> None:
        """Delete the data of the feature store, which does not run."""
        shutil.rmtree(self._store_folder)

    @property
    def _store_folder(self) -> Path:
        return self.settings.home / "redis"

    def _store_spec(self) -> ProcessSpec:
        folder = self._store_folder
        folder.mkdir(exist_ok=True)
        url = plain(self.settings.store_url)
        command = [str(self._redis), "--port", str(urlsplit(url).port), "--bind", LOOPBACK, "--dir", str(folder),
                   "--save", "", "--appendonly", "yes", "--appendfsync", "everysec"]  # fmt: skip

        def answers() -> bool:
            with redis.Redis.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0) as client:
                try:
                    return bool(client.ping())
                except redis.RedisError:
                    return False

        return ProcessSpec(name=STORE, command=command, environment=child_environment(self.settings), ready=answers)

    def _embedded_kafka(self, settings: Settings, port: int) -> ProxiedKafka:
        return ProxiedKafka(settings, [self._addresses[worker][0] for worker in self._workers], port=port)

    def _environment(self, name: str) -> dict[str, str]:
        return super()._environment(name) | self._proxied_addresses(name)

    def _proxied_addresses(self, name: str) -> Mapping[str, str]:
        if name not in self._addresses:
            return {}
        kafka, scoring, store = self._addresses[name]
        addresses = {"CARDWATCH_KAFKA_BOOTSTRAP": kafka, "CARDWATCH_SCORING_URL": f"http://{scoring}"}
        if self.settings.store_url:
            addresses["CARDWATCH_STORE_URL"] = f"redis://{store}"
        return addresses


@contextmanager
def proxied_stack(
    home: Path, toxiproxy: Path, workers: Sequence[str], client: KafkaClient, redis: str | None = None
) -> Iterator[ProxiedStack]:
    """Enter a stack whose proxies, and store if it is a server, are started."""
    store = f"redis://{LOOPBACK}:{free_ports(1)[0]}" if redis else ""
    settings = read_settings({}, home=home, kafka_client=client, store_url=store)
    with ProxiedStack(settings, toxiproxy, workers, redis) as stack, stack.start_proxies():
        if redis:
            stack.start_store()
            stack.supervisor.await_ready(STORE)
        yield stack
