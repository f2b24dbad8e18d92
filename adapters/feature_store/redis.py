"""The feature store in Redis or Valkey, one instance.

Keys: `cardwatch:card:` + card id -> the bytes of a STATE; `cardwatch:applied:` + partition -> the next offset;
`cardwatch:partitions`, the set of partitions; `cardwatch:layout`. All but the set are strings, so that one MGET reads
states, layout and `applied` at one moment.

What the server needs:

- AOF (`appendonly yes`, `appendfsync everysec`) or a replica, so that a restart does not cost a fold of the whole log.
  States and `applied` are in one instance and written by one script: a server that loses its tail only lags behind.
- `maxmemory-policy noeviction`: an evicted card would look like a card never seen. Checked at opening.
- No cluster mode: a script writes one slot only, so all cards would have to share it. Checked at opening. Beyond one
  instance's memory use one per range of partitions, or DynamoDB.

There is no expiry. The kernel starts a card anew after a year of event time; a server's clock says nothing about that,
and in a replay it would drop cards that are still alive.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from adapters.feature_store.layout import (
    CARDS_AT_ONCE,
    STATE_LAYOUT,
    UNFINISHED,
    chunks,
    not_empty,
    require_layout,
    stale_writer,
    to_states,
    was_written,
)
from cardwatch.errors import CardwatchError, Misconfigured, StoreRefused, StoreUnavailable
from cardwatch.ports import PositionedStates, StateArray, StoreContents, StoreSize

TIMEOUT_SECONDS: Final = 2.0
TRIES: Final = 2

_CARD: Final = b"cardwatch:card:"
_APPLIED: Final = b"cardwatch:applied:"
_PARTITIONS: Final = b"cardwatch:partitions"
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


class RedisStore:
    """A `cardwatch.ports.PortableStore` at `url` (`redis://`, `rediss://`, `valkey://`).

    `readonly` for processes that only ask. Raises `StoreUnavailable` if nobody answers, `Misconfigured` if the server
    evicts keys or is a cluster, `StoreRefused` if it holds states of another `layout`.
    """

    def __init__(self, url: str, *, readonly: bool = False, layout: str = STATE_LAYOUT) -> None:
        address = urlsplit(url)
        self._where = f"the feature store at {address.hostname}:{address.port or 6379}{address.path}"
        self._layout, self._layout_bytes = layout, layout.encode()
        self._server = redis.Redis.from_url(
            url.replace("valkey://", "redis://", 1),
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            # Sending a script again is safe: had the first one been run, the second finds `applied` moved.
            retry=Retry(ExponentialBackoff(cap=0.2, base=0.05), TRIES - 1),
        )
        self._apply = self._server.register_script(_APPLY)
        try:
            with self._answering():
                self._require_fit()
                self._require_layout(readonly=readonly)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> RedisStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._server.close()

    def load(self, card_ids: Sequence[str]) -> StateArray:
        """See the port. One MGET, so that all states are of one moment."""
        return self._read([_LAYOUT], card_ids)[1]

    def load_positioned(self, partition: int, card_ids: Sequence[str]) -> PositionedStates:
        """See the port. One MGET."""
        (_, applied), states = self._read([_LAYOUT, _applied_key(partition)], card_ids)
        return PositionedStates(states, np.full(len(card_ids), int(applied or 0), np.int64))

    def applied(self, partition: int) -> int:
        """See the port."""
        with self._answering():
            return int(self._server.get(_applied_key(partition)) or 0)

    def size(self) -> StoreSize:
        """See the port. In a database of its own, all keys but two and one for each partition are cards."""
        with self._answering():
            keys: Any = self._server.dbsize()
            partitions: Any = self._server.scard(_PARTITIONS)
            memory: Any = self._server.info("memory")
        others = 2 + int(partitions) if partitions else 1
        used = memory.get("used_memory_dataset", memory.get("used_memory", 0))  # not every server tells them apart
        return StoreSize(max(int(keys) - others, 0), int(used))

    def apply(
        self, partition: int, *, expected: int, position: int, card_ids: Sequence[str], states: StateArray
    ) -> None:
        """See the port. One script checks and writes."""
        keys = [_LAYOUT, _PARTITIONS, _applied_key(partition), *map(_card_key, card_ids)]
        values = [state.tobytes() for state in states]
        with self._answering():
            said: Any = self._apply(keys, [self._layout, partition, expected, position, *values])
        if said[0] == b"layout":
            require_layout(said[1].decode(), self._layout, where=self._where, is_empty=False)
        if said[0] == b"stale":
            raise stale_writer(partition, expected, int(said[1]))

    @contextmanager
    def contents(self) -> Iterator[StoreContents]:
        """See the port. SCAN may return a card twice; the bytes are the same."""
        applied = self._all_applied()
        yield StoreContents(applied, self._cards(applied))

    def fill(self, contents: StoreContents) -> None:
        """See the port."""
        with self._answering():
            if self._holds_cards() or self._all_applied():
                raise not_empty(self._where)
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
        """The values of `keys`, of which the first is the layout, and these cards' states."""
        with self._answering():
            values: Any = self._server.mget([*keys, *map(_card_key, card_ids)])
        stored = values[len(keys) :]
        if values[0] != self._layout_bytes:  # another version has made the store anew since, or it was emptied
            found = None if values[0] is None else values[0].decode()
            require_layout(found, self._layout, where=self._where, is_empty=not any(stored))
        return values[: len(keys)], to_states(stored, card_ids, self._where)

    def _cards(self, applied: dict[int, int]) -> Iterator[tuple[list[str], StateArray]]:
        with self._answering():
            for keys in chunks(self._server.scan_iter(match=_CARD + b"*", count=CARDS_AT_ONCE), CARDS_AT_ONCE):
                card_ids = [key[len(_CARD) :].decode() for key in keys]
                yield card_ids, self.load(card_ids)
        if self._all_applied() != applied:
            raise was_written(self._where)

    def _all_applied(self) -> dict[int, int]:
        with self._answering():
            partitions = sorted(int(member) for member in self._server.smembers(_PARTITIONS))
        return {partition: self.applied(partition) for partition in partitions}

    def _holds_cards(self) -> bool:
        return next(self._server.scan_iter(match=_CARD + b"*", count=CARDS_AT_ONCE), None) is not None

    def _require_fit(self) -> None:
        memory: Any = self._server.info("memory")
        if (policy := memory.get("maxmemory_policy")) != "noeviction":
            raise Misconfigured(
                f"{self._where} has maxmemory-policy {policy}: it would forget cards; set it to noeviction"
            )
        cluster: Any = self._server.info("cluster")
        if cluster.get("cluster_enabled"):
            raise Misconfigured(f"{self._where} is a cluster, which cannot write a batch in one step; use one instance")

    def _require_layout(self, *, readonly: bool) -> None:
        found: Any = self._server.get(_LAYOUT)
        is_empty = found is None and not self._holds_cards()
        text = None if found is None else found.decode()
        require_layout(text, self._layout, where=self._where, is_empty=is_empty)
        if not readonly:
            self._server.setnx(_LAYOUT, self._layout)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except redis.AuthenticationError as error:
            raise Misconfigured(f"{self._where} refuses us: {error}; name user and password in its address") from error
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise StoreUnavailable(f"{self._where} does not answer: {error}") from error
        except redis.ResponseError as error:
            raise _meaning(self._where, error) from error


def _meaning(where: str, error: redis.ResponseError) -> CardwatchError:
    if isinstance(error, redis.exceptions.OutOfMemoryError):
        return StoreUnavailable(f"{where} is out of memory: raise maxmemory; nothing was written")
    if isinstance(error, (redis.exceptions.ReadOnlyError, redis.exceptions.MasterDownError)):
        return StoreUnavailable(f"{where} is a replica at the moment: {error}")
    return StoreRefused(f"{where} refuses a command: {error}")


def _card_key(card_id: str) -> bytes:
    return _CARD + card_id.encode()


def _applied_key(partition: int) -> bytes:
    return _APPLIED + b"%d" % partition
