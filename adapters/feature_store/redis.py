"""The feature store in Redis or Valkey, one instance.

Keys: `cardwatch:card:` + card id -> the bytes of a STATE; `cardwatch:applied:` + partition -> the next offset;
`cardwatch:partitions`, the set of partitions; `cardwatch:partition-count`, the number of partitions of the log;
`cardwatch:layout`. All but the set are strings, so that one MGET reads states, layout and `applied` consistently.

Requirements on the server:

- AOF (`appendonly yes`, `appendfsync everysec`) or a replica, so that a restart does not require folding the log again.
  One script writes states and `applied` to one instance, so that a server that loses its newest writes only lags.
- `maxmemory-policy noeviction`, because an evicted card would look like a new card. It is checked when the store opens.
- No cluster mode, because a script writes one slot only. It is checked when the store opens. Beyond the memory of one
  instance use one instance per range of partitions, or DynamoDB.

Keys do not expire. The kernel resets a card after a year of event time. The server's clock is unrelated to event time,
and would expire active cards during a replay.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from adapters.feature_store.layout import CARDS_PER_CHUNK, STATE_LAYOUT, UNFINISHED, CardStore, chunks
from adapters.runtime.closeable import closed_on_error
from cardwatch.errors import CardwatchError, Misconfigured, StoreRefused, StoreUnavailable
from cardwatch.ports import PositionedStates, StateArray, StoreContents, StoreSize

TIMEOUT_SECONDS: Final = 2.0
ATTEMPTS: Final = 2
_PAUSE_SECONDS: Final = 0.05
"""Time between two attempts to write a batch."""

_CARD: Final = b"cardwatch:card:"
_APPLIED: Final = b"cardwatch:applied:"
_PARTITIONS: Final = b"cardwatch:partitions"
_PARTITION_COUNT: Final = b"cardwatch:partition-count"
_LAYOUT: Final = b"cardwatch:layout"

# KEYS: layout, partitions, applied, then a card each. ARGV: layout, partition, expected, position, then a state each.
_APPLY: Final = """
local layout = redis.call('GET', KEYS[1])
if layout and layout ~= ARGV[1] then return {'layout', layout} end
local applied = redis.call('GET', KEYS[3]) or '0'
if applied ~= ARGV[3] then return {'stale', applied} end
for i = 4, #KEYS do redis.call('SET', KEYS[i], ARGV[i + 1]) end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('SADD', KEYS[2], ARGV[2])
redis.call('SET', KEYS[3], ARGV[4])
return {'applied', ARGV[4]}
"""


class RedisStore(CardStore):
    """A `cardwatch.ports.PortableStore` at `url` (`redis://`, `rediss://`, `valkey://`).

    A `readonly` store is never written. Raises `StoreUnavailable` if the server does not respond, `Misconfigured` if it
    evicts keys or is a cluster, and `StoreRefused` if it holds states of another `layout`.
    """

    def __init__(self, url: str, *, readonly: bool = False, layout: str = STATE_LAYOUT) -> None:
        address = urlsplit(url)
        super().__init__(f"the feature store at {address.hostname}:{address.port or 6379}{address.path}", layout)
        if not re.fullmatch(r"(/\d*)?", address.path):  # the library would use database 0
            raise Misconfigured(f"CARDWATCH_STORE_URL: {address.path!r} is not the number of a database, like /0")
        try:
            self._server = _client(url, attempts=ATTEMPTS)
            self._writer = _client(url, attempts=1)  # `_apply_once_more` decides what a second attempt means
            self._server.connection_pool.make_connection()  # checks the options, and does not connect
        except (TypeError, ValueError, redis.RedisError) as error:
            raise Misconfigured(f"CARDWATCH_STORE_URL has an option that cannot be used: {error}") from error
        self._apply = self._writer.register_script(_APPLY)
        with closed_on_error(self), self._translated_errors():
            self._require_usable_server()
            self._require_layout(readonly=readonly)

    def close(self) -> None:
        """Close the connections."""
        self._server.close()
        self._writer.close()

    def load(self, card_ids: Sequence[str]) -> StateArray:
        """See the port. One MGET makes the states consistent."""
        return self._read([_LAYOUT], card_ids)[1]

    def load_positioned(self, partition: int, card_ids: Sequence[str]) -> PositionedStates:
        """See the port. One MGET."""
        (_, applied), states = self._read([_LAYOUT, _applied_key(partition)], card_ids)
        return PositionedStates(states, np.full(len(card_ids), int(applied or 0), np.int64))

    def applied(self, partition: int) -> int:
        """See the port."""
        with self._translated_errors():
            return int(self._server.get(_applied_key(partition)) or 0)

    def record_partitions(self, partitions: int) -> int:
        """See the port."""
        with self._translated_errors():
            self._server.set(_PARTITION_COUNT, partitions, nx=True)
            return int(self._server.get(_PARTITION_COUNT) or partitions)

    def size(self) -> StoreSize:
        """See the port. All keys of the database are cards, except at most three and one per partition."""
        with self._translated_errors():
            keys: Any = self._server.dbsize()
            partitions: Any = self._server.scard(_PARTITIONS)
            counts: Any = self._server.exists(_PARTITION_COUNT)
            memory: Any = self._server.info("memory")
        others = int(counts) + (2 + int(partitions) if partitions else 1)
        used = memory.get(
            "used_memory_dataset", memory.get("used_memory", 0)
        )  # some servers do not report the data set separately
        return StoreSize(max(int(keys) - others, 0), int(used))

    def apply(
        self, partition: int, *, expected: int, position: int, card_ids: Sequence[str], states: StateArray
    ) -> None:
        """See the port. One script checks and writes."""
        keys = [_LAYOUT, _PARTITIONS, _applied_key(partition), *map(_card_key, card_ids)]
        values = [self._layout, partition, expected, position, *(state.tobytes() for state in states)]
        with self._translated_errors():
            try:
                status, value = self._apply(keys, values)
            except (redis.ConnectionError, redis.TimeoutError):
                status, value = self._apply_once_more(keys, values, position)
        if status == b"layout":
            self._check_layout(value, is_empty=False)
        if status == b"stale":
            raise self._stale_writer_error(partition, expected, int(value))

    def _apply_once_more(self, keys: list[bytes], values: list[Any], position: int) -> tuple[bytes, bytes]:
        """Run the script again after an attempt without an answer, which the server may have executed.

        If `applied` equals `position`, the batch is written: by that attempt, or by another worker, whose states are
        the same because states depend only on the log up to `position`. A higher `applied` is a stale writer's.
        """
        time.sleep(_PAUSE_SECONDS)
        status, value = self._apply(keys, values)
        return (b"applied", value) if status == b"stale" and int(value) == position else (status, value)

    @contextmanager
    def contents(self) -> Iterator[StoreContents]:
        """See the port. SCAN may return a card twice; the bytes are the same."""
        applied = self._all_applied()
        yield StoreContents(applied, self._cards(applied))

    def fill(self, contents: StoreContents) -> None:
        """See the port."""
        with self._translated_errors():
            if self._holds_cards() or self._all_applied():
                raise self._not_empty_error()
            self._server.set(_LAYOUT, UNFINISHED)
            for card_ids, states in contents.cards:
                values = (state.tobytes() for state in states)
                self._server.mset(dict(zip(map(_card_key, card_ids), values, strict=True)))
            with self._server.pipeline(transaction=True) as pipeline:
                for partition, position in contents.applied.items():
                    pipeline.set(_applied_key(partition), position)
                    pipeline.sadd(_PARTITIONS, partition)
                pipeline.set(_LAYOUT, self._layout)
                pipeline.execute()

    def _read(self, keys: list[bytes], card_ids: Sequence[str]) -> tuple[list[bytes | None], StateArray]:
        """Return the values of `keys`, the first of which is the layout, and the states of the cards."""
        with self._translated_errors():
            values: Any = self._server.mget([*keys, *map(_card_key, card_ids)])
        stored = values[len(keys) :]
        if values[0] != self._layout_bytes:  # another version has replaced the store, or it was emptied
            self._check_layout(values[0], is_empty=not any(stored))
        return values[: len(keys)], self._to_states(stored, card_ids)

    def _cards(self, applied: dict[int, int]) -> Iterator[tuple[list[str], StateArray]]:
        with self._translated_errors():
            for keys in chunks(self._server.scan_iter(match=_CARD + b"*", count=CARDS_PER_CHUNK), CARDS_PER_CHUNK):
                card_ids = [key[len(_CARD) :].decode() for key in keys]
                yield card_ids, self.load(card_ids)
        if self._all_applied() != applied:
            raise self._concurrent_write_error()

    def _all_applied(self) -> dict[int, int]:
        with self._translated_errors():
            partitions = sorted(int(member) for member in self._server.smembers(_PARTITIONS))
        return {partition: self.applied(partition) for partition in partitions}

    def _holds_cards(self) -> bool:
        return next(self._server.scan_iter(match=_CARD + b"*", count=CARDS_PER_CHUNK), None) is not None

    def _require_usable_server(self) -> None:
        memory: Any = self._server.info("memory")
        if (policy := memory.get("maxmemory_policy")) != "noeviction":
            raise Misconfigured(
                f"{self._where} has maxmemory-policy {policy}: it would evict cards; set it to noeviction"
            )
        cluster: Any = self._server.info("cluster")
        if cluster.get("cluster_enabled"):
            raise Misconfigured(f"{self._where} is a cluster, which cannot write a batch atomically; use one instance")

    def _require_layout(self, *, readonly: bool) -> None:
        found: Any = self._server.get(_LAYOUT)
        self._check_layout(found, is_empty=found is None and not self._holds_cards())
        if not readonly:
            self._server.setnx(_LAYOUT, self._layout)

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except redis.AuthenticationError as error:
            raise Misconfigured(
                f"{self._where} rejects the login: {error}; correct CARDWATCH_STORE_URL or CARDWATCH_STORE_PASSWORD"
            ) from error
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise StoreUnavailable(f"{self._where} does not answer: {error}") from error
        except redis.ResponseError as error:
            raise _store_error(self._where, error) from error


def _client(url: str, *, attempts: int) -> redis.Redis:
    return redis.Redis.from_url(
        url.replace("valkey://", "redis://", 1),
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(ExponentialBackoff(cap=0.2, base=0.05), attempts - 1),
    )


def _store_error(where: str, error: redis.ResponseError) -> CardwatchError:
    if isinstance(error, redis.exceptions.OutOfMemoryError):
        return StoreUnavailable(f"{where} is out of memory: raise maxmemory; nothing was written")
    if isinstance(error, (redis.exceptions.ReadOnlyError, redis.exceptions.MasterDownError)):
        return StoreUnavailable(f"{where} is currently a replica: {error}")
    return StoreRefused(f"{where} rejects a command: {error}")


def _card_key(card_id: str) -> bytes:
    return _CARD + card_id.encode()


def _applied_key(partition: int) -> bytes:
    return _APPLIED + b"%d" % partition
