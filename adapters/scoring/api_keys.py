"""Who may call the scoring service, what for, and how fast: API keys in a file, a check and a rate limit.

A caller sends `Authorization: Bearer ID.SECRET`. ID finds the key in the file, and is no secret. Of the key itself only
a SHA-256 is stored, and a plain one is enough: the secret is 256 random bits, so there is nothing to guess by brute
force, as there is with a password. A slow hash would only burn the hot path.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import logging
import math
import re
import secrets
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from adapters.runtime.files import atomic_path
from adapters.runtime.settings import Secret
from cardwatch.errors import KeyUnknown, Misconfigured, ScopeMissing

_NAME: Final = r"\A\w(?:[\w .@/-]{0,62}\w)?\Z"
_SCHEME: Final = b"bearer "
_MAX_KEY_CHARACTERS: Final = 256
_TOLERANCE: Final = 1e-6
"""Transactions: who waits exactly as long as told must not be refused for what floating point has lost meanwhile."""

log = logging.getLogger(__name__)


class KeyScope(Enum):
    """What a key may be used for. `ADMIN` (follow the model alias now) does not imply the others: give each by name."""

    SCORE = "score"
    EXPLAIN = "explain"
    ADMIN = "admin"


class ApiKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that is stored of a key. `name`: of who has it. `sha256`: of ID.SECRET, as hex digits.

    `rate_per_second`: transactions, not requests; None for no limit. `created_at`: aware, in UTC.
    """

    id: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{8}\Z")]
    name: Annotated[str, Meta(pattern=_NAME)]
    sha256: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    scopes: Annotated[tuple[KeyScope, ...], Meta(min_length=1)]
    rate_per_second: Annotated[float, Meta(gt=0)] | None = None
    created_at: Annotated[datetime, Meta(tz=True)] | None = None


class _KeyFile(Struct, frozen=True, forbid_unknown_fields=True):
    keys: tuple[ApiKey, ...]


def read_keys(file: Path) -> tuple[ApiKey, ...]:
    """The keys in `file`, in the order of their making; none without a file.

    Raises `Misconfigured` for a file that cannot be read, holds something else, or two keys of one id or name.
    """
    try:
        keys = msgspec.json.decode(file.read_bytes(), type=_KeyFile).keys
    except FileNotFoundError:
        return ()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Misconfigured(
            f"the file of API keys {file} cannot be used: {error}; correct it, or move it away and make the keys again "
            "(cardwatch keys add)"
        ) from error
    if len(_taken(keys)) < 2 * len(keys):
        raise Misconfigured(f"the file of API keys {file} has an id or a name twice; leave each to one key")
    return keys


def add_key(
    file: Path, *, name: str, scopes: Collection[KeyScope], rate_per_second: float | None, created_at: datetime
) -> tuple[Secret, ApiKey]:
    """Make a key and store it in `file`, which is made if there is none.

    The first of the two is ID.SECRET, which nobody can ever get again. Raises `Misconfigured` if the name is taken or
    no name, there is no scope, the rate is not above 0, or the file cannot be used.
    """
    if not re.search(_NAME, name):
        raise Misconfigured(
            f"{name!r} is no name for a key: 1 to 64 letters and digits, and between them also spaces and _ . @ / -"
        )
    if not scopes:
        raise Misconfigured("a key needs a scope: " + ", ".join(scope.value for scope in KeyScope))
    if rate_per_second is not None and not 0 < rate_per_second < math.inf:
        raise Misconfigured(f"{rate_per_second} transactions a second are no rate: above 0, or none for no limit")
    with _changed(file) as keys:
        taken = _taken(keys)
        if name in taken:
            raise Misconfigured(f"{name!r} is taken: revoke that key first (cardwatch keys revoke), or choose a name")
        key_id = _new_id(taken)
        secret = Secret(f"{key_id}.{secrets.token_urlsafe(32)}")
        key = ApiKey(
            id=key_id,
            name=name,
            sha256=hashlib.sha256(secret.encode()).hexdigest(),
            scopes=tuple(scope for scope in KeyScope if scope in scopes),
            rate_per_second=rate_per_second,
            created_at=created_at,
        )
        keys.append(key)
    return secret, key


def revoke_key(file: Path, name_or_id: str) -> ApiKey:
    """Take a key out of `file`. Raises `Misconfigured` if it holds none of this name or id, or cannot be used."""
    with _changed(file) as keys:
        for key in keys:
            if name_or_id in (key.id, key.name):
                keys.remove(key)
                return key
        raise Misconfigured(f"{file} has no key of name or id {name_or_id!r}; see cardwatch keys list")


@contextmanager
def _changed(file: Path) -> Iterator[list[ApiKey]]:
    """The keys in `file`, to be changed: written, for the owner's eyes only, when the block ends well."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.with_name(f".{file.name}.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two commands at a time must not lose a key that one has shown already
            keys = list(read_keys(file))
            yield keys
            with atomic_path(file) as temporary:
                temporary.chmod(0o600)
                temporary.write_bytes(msgspec.json.format(msgspec.json.encode(_KeyFile(tuple(keys)))) + b"\n")
    except OSError as error:
        raise Misconfigured(
            f"the file of API keys {file} cannot be written: {error}; CARDWATCH_API_KEYS_FILE can name another"
        ) from error


def _taken(keys: Sequence[ApiKey]) -> set[str]:
    return {key.id for key in keys} | {key.name for key in keys}


def _new_id(taken: Collection[str]) -> str:
    while True:
        key_id = secrets.token_hex(4)  # hex, because a command takes what begins with a dash for an option
        if key_id not in taken:
            return key_id


class KeyRing:
    """The keys that a service takes: its own, and those in a file that is read again when it has changed.

    `own_key` may be any string and has all scopes and no limit; an empty one is never valid. Raises `Misconfigured` if
    there is a file that cannot be used. `problem`: what became of the file since then, if it cannot be used any more.
    """

    def __init__(self, own_key: str, file: Path) -> None:
        own = own_key.encode(errors="surrogateescape")
        digest = hashlib.sha256(own).digest() if own else secrets.token_bytes(32)
        scopes = tuple(KeyScope)
        self._own = ApiKey(id="own", name="CARDWATCH_API_KEY", sha256=digest.hex(), scopes=scopes), digest
        self._max_bytes = len(_SCHEME) + max(len(own), _MAX_KEY_CHARACTERS)
        self._file = file
        self._stamp = _stamp(file)
        self._held = _by_id(read_keys(file))
        self.problem: str | None = None

    @property
    def ids(self) -> frozenset[str]:
        """The ids of all keys that are valid now."""
        return frozenset([self._own[0].id, *(key.id for key, _ in self._held.values())])

    def check(self, authorization: bytes, scope: KeyScope) -> ApiKey:
        """The key in the value of an `Authorization` header, if it is valid for `scope`.

        Raises `KeyUnknown` for anything but `Bearer ` (in any case, RFC 9110) and a valid key, `ScopeMissing` for one
        that is valid for something else. How long it takes does not tell which ids there are.
        """
        if authorization[: len(_SCHEME)].lower() != _SCHEME or len(authorization) > self._max_bytes:
            raise KeyUnknown("an API key is needed, in the header Authorization: Bearer KEY")
        key = self._find(authorization[len(_SCHEME) :])
        if scope not in key.scopes:
            raise ScopeMissing(f"the API key of {key.name!r} does not have the scope {scope.value!r}")
        return key

    def _find(self, sent: bytes) -> ApiKey:
        digest = hashlib.sha256(sent).digest()
        named = self._held.get(sent.partition(b".")[0], self._own)
        for key, expected in (self._own, named):  # two comparisons before a refusal, whether or not the id is known
            if hmac.compare_digest(digest, expected):
                return key
        raise KeyUnknown("the API key is not valid, or not any more")

    def refresh(self) -> bool:
        """Follow the file, and say whether it was read anew; costs one `stat` if it is as it was.

        The keys of a file that is gone are gone. Those of a file that can no longer be used stay valid until it can be
        used again: a slip of the pen must not stop the payments of everybody.
        """
        stamp = _stamp(self._file)
        if stamp == self._stamp and self.problem is None:
            return False
        self._stamp = stamp  # from before reading: what is written meanwhile is seen the next time
        try:
            self._held = _by_id(read_keys(self._file))
        except Misconfigured:
            self._report()
            return False
        self.problem = None
        return True

    def _report(self) -> None:
        if self.problem is None:
            # Without the reason, which may quote the file.
            self.problem = (
                f"the file of API keys {self._file} cannot be used any more, the keys read before stay valid; "
                "see cardwatch keys list"
            )
            log.error("%s", self.problem)


def _stamp(file: Path) -> tuple[int, ...]:
    """Differs whenever the file does; of one that cannot be looked at, the error's number."""
    try:
        found = file.stat()
    except OSError as error:
        return (error.errno or 0,)
    return found.st_mtime_ns, found.st_size, found.st_ino


def _by_id(keys: Sequence[ApiKey]) -> dict[bytes, tuple[ApiKey, bytes]]:
    return {key.id.encode(): (key, bytes.fromhex(key.sha256)) for key in keys}


class RateLimit:
    """A token bucket for each key: its rate in the long run, and bursts of what it may send in a second, at least 1.

    A batch larger than that waits for a full bucket and drives it below zero, so that it is not refused for ever.
    `share`: the part of each rate that is allowed here, 1/N in each of N processes. Not for several threads.
    """

    def __init__(self, share: float = 1.0) -> None:
        self._share = share
        self._buckets: dict[str, tuple[float, float]] = {}  # tokens that there were, and when (seconds)

    def take(self, key: ApiKey, transactions: int, now_seconds: float) -> float | None:
        """None if `transactions` may be sent now, and they count as sent; else in how many seconds they may be.

        `now_seconds` is of any clock that does not go backwards.
        """
        if key.rate_per_second is None:
            return None
        rate = key.rate_per_second * self._share
        burst = max(rate, 1.0)
        tokens, then = self._buckets.get(key.id, (burst, now_seconds))
        tokens = min(burst, tokens + rate * (now_seconds - then))
        lacking = min(transactions, burst) - tokens
        if lacking > _TOLERANCE:
            return lacking / rate
        self._buckets[key.id] = (tokens - transactions, now_seconds)
        return None

    def keep_only(self, ids: Collection[str]) -> None:
        """Forget the keys that are not among `ids`."""
        self._buckets = {key_id: bucket for key_id, bucket in self._buckets.items() if key_id in ids}
