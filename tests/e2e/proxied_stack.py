"""The local stack of tests with network faults: two workers perhaps, each with proxies of its own, and a Redis."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import redis

from adapters.local_stack.network_faults import PROXY, proxy_name
from adapters.local_stack.toxiproxy import Toxiproxy
from adapters.runtime.addresses import plain
from adapters.runtime.kafka_connection import KafkaClient
from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.settings import Settings, child_environment, read_settings
from infra.local_stack.stack import LocalStack
from infra.local_stack.supervisor import ProcessSpec
from tests.e2e.toxiproxy import Proxy

STORE = "store"
"""Process of the feature store."""


class Proxies(NamedTuple):
    """The proxies of one worker."""

    kafka: Proxy
    scoring: Proxy
    store: Proxy | None


class ProxiedStack(LocalStack):
    """A stack whose `workers` reach everything through proxies of their own; all other processes do not.

    With `redis` (a program) the feature store is a server, the process `STORE`; without, it is LMDB.
    """

    def __init__(self, settings: Settings, workers: Sequence[str], redis: str | None) -> None:
        super().__init__(settings, workers=workers)
        self._redis = redis

    @property
    def proxies(self) -> dict[str, Proxies]:
        """The proxies of each worker."""
        server = Toxiproxy(self.toxiproxy_url)
        return {
            worker: Proxies(
                *(Proxy(server, proxy_name(worker, part)) for part in ("kafka", "scoring")),
                store=Proxy(server, proxy_name(worker, "store")) if self._redis else None,
            )
            for worker in self._workers
        }

    def environment_of(self, worker: str) -> dict[str, str]:
        """The environment of a process that takes the place of a worker."""
        return self._environment(worker)

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


@contextmanager
def proxied_stack(
    home: Path, toxiproxy: Path, workers: Sequence[str], client: KafkaClient, redis: str | None = None
) -> Iterator[ProxiedStack]:
    """Enter a stack whose proxies, and store if it is a server, are started."""
    store = f"redis://{LOOPBACK}:{free_ports(1)[0]}" if redis else ""
    settings = read_settings({}, home=home, kafka_client=client, store_url=store, toxiproxy=str(toxiproxy))
    with ProxiedStack(settings, workers, redis) as stack:
        stack.start(PROXY)
        if redis:
            stack.start_store()
            stack.supervisor.await_ready(STORE)
        yield stack
