"""API keys of the scoring service and of the case queue with their scopes and rate limits, stored in a file.

A caller sends `Authorization: Bearer ID.SECRET`. ID is not secret and finds the key in the file, which stores only the
SHA-256 of ID.SECRET. A fast hash suffices, because the secret has 256 random bits and cannot be found by brute force
like a password; a slow hash would slow down every request.
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

from adapters.runtime.addresses import Secret
from adapters.runtime.files import atomic_path
from cardwatch.errors import KeyUnknown, Misconfigured, ScopeMissing

_NAME: Final = r"\A\w(?:[\w .@/-]{0,62}\w)?\Z"
_SCHEME: Final = b"bearer "
_MAX_KEY_CHARACTERS: Final = 256
_TOLERANCE: Final = 1e-6
"""Tolerance of a token bucket in transactions, for rounding errors of a caller that waits exactly the time to wait."""

log = logging.getLogger(__name__)


class KeyScope(Enum):
    """The uses that a key may have; none implies another. `ADMIN` is to see and reload the served models.

    The scopes of cases are for the console's case queue: to read it; to take cases, to add notes and to decide one's
    own; to assign, release and decide cases of others.
    """

    SCORE = "score"
    EXPLAIN = "explain"
    ADMIN = "admin"
    CASES_READ = "cases:read"
    CASES_WORK = "cases:work"
    CASES_SUPERVISE = "cases:supervise"


class ApiKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key as it is stored. `name`: that of its holder. `sha256`: the hash of ID.SECRET in hex digits.

    `rate_per_second`: limit in transactions, not requests; None for no limit. `created_at`: aware, in UTC.
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
    """Return the keys in `file` in the order of creation; none if there is no file.

    Raise `Misconfigured` if the file cannot be read or is invalid, or if two keys have the same id or name.
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
    if len(_ids_and_names(keys)) < 2 * len(keys):
        raise Misconfigured(f"the file of API keys {file} has an id or a name twice; each must be unique")
    return keys


def add_key(
    file: Path, *, name: str, scopes: Collection[KeyScope], rate_per_second: float | None, created_at: datetime
) -> tuple[Secret, ApiKey]:
    """Create a key, store it in `file`, which is created if necessary, and return ID.SECRET and the key.

    ID.SECRET cannot be recovered later. Raise `Misconfigured` if the name is in use or invalid, there is no scope, the
    rate is not above 0, or the file cannot be used.
    """
    if not re.search(_NAME, name):
        raise Misconfigured(
            f"{name!r} is not a valid key name: 1 to 64 letters and digits, and between them also spaces and _ . @ / -"
        )
    if not scopes:
        raise Misconfigured("a key needs a scope: " + ", ".join(scope.value for scope in KeyScope))
    if rate_per_second is not None and not 0 < rate_per_second < math.inf:
        raise Misconfigured(
            f"{rate_per_second} transactions a second is not a valid rate: it must be above 0, or none for no limit"
        )
    with _edited(file) as keys:
        taken = _ids_and_names(keys)
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
    """Remove a key from `file` and return it.

    Raise `Misconfigured` if there is no key of this name or id, or the file cannot be used.
    """
    with _edited(file) as keys:
        for key in keys:
            if name_or_id in (key.id, key.name):
                keys.remove(key)
                return key
        raise Misconfigured(f"{file} has no key of name or id {name_or_id!r}; see cardwatch keys list")


@contextmanager
def _edited(file: Path) -> Iterator[list[ApiKey]]:
    """Yield the keys in `file`; write the changed list, readable by the owner only, unless the block raises."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.with_name(f".{file.name}.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two concurrent commands must not lose a key
            keys = list(read_keys(file))
            yield keys
            with atomic_path(file) as temporary:
                temporary.chmod(0o600)
                temporary.write_bytes(msgspec.json.format(msgspec.json.encode(_KeyFile(tuple(keys)))) + b"\n")
    except OSError as error:
        raise Misconfigured(
            f"the file of API keys {file} cannot be written: {error}; CARDWATCH_API_KEYS_FILE can name another"
        ) from error


def _ids_and_names(keys: Sequence[ApiKey]) -> set[str]:
    return {key.id for key in keys} | {key.name for key in keys}


def _new_id(taken: Collection[str]) -> str:
    while True:
        key_id = secrets.token_hex(4)  # hex, because a command line option may begin with a dash
        if key_id not in taken:
            return key_id


class KeyRing:
    """The valid keys of a service: the one of its settings, and those in a file that is read again when it has changed.

    `own_key` may be any string and has all scopes and no limit; an empty one is never valid. Raise `Misconfigured` if
    the file exists and cannot be used. `problem`: a message if the file can no longer be used, else None.
    """

    def __init__(self, own_key: str, file: Path) -> None:
        own = own_key.encode(errors="surrogateescape")
        digest = hashlib.sha256(own).digest() if own else secrets.token_bytes(32)
        scopes = tuple(KeyScope)
        self._own = ApiKey(id="own", name="CARDWATCH_API_KEY", sha256=digest.hex(), scopes=scopes), digest
        self._max_bytes = len(_SCHEME) + max(len(own), _MAX_KEY_CHARACTERS)
        self._file = file
        self._stamp = _stamp(file)
        self._keys = _by_id(read_keys(file))
        self.problem: str | None = None

    @property
    def ids(self) -> frozenset[str]:
        """The ids of all valid keys."""
        return frozenset([self._own[0].id, *(key.id for key, _ in self._keys.values())])

    def check(self, authorization: bytes, scope: KeyScope) -> ApiKey:
        """Return the key in the value of an `Authorization` header.

        Raise `KeyUnknown` unless the value is `Bearer ` (in any case, RFC 9110) and a valid key, and `ScopeMissing` if
        the key does not have `scope`. The duration does not depend on whether the id exists.
        """
        if authorization[: len(_SCHEME)].lower() != _SCHEME or len(authorization) > self._max_bytes:
            raise KeyUnknown("an API key is needed, in the header Authorization: Bearer KEY")
        key = self._find(authorization[len(_SCHEME) :])
        if scope not in key.scopes:
            raise ScopeMissing(f"the API key of {key.name!r} does not have the scope {scope.value!r}")
        return key

    def _find(self, sent: bytes) -> ApiKey:
        digest = hashlib.sha256(sent).digest()
        found = self._keys.get(sent.partition(b".")[0], self._own)
        for key, expected in (self._own, found):  # two comparisons, whether or not the id exists
            if hmac.compare_digest(digest, expected):
                return key
        raise KeyUnknown("the API key is not valid, or not any more")

    def refresh(self) -> bool:
        """Read the file again if it has changed, and return whether it was read. Costs one `stat` if it has not.

        If the file was deleted, its keys are no longer valid. If it can no longer be used, its last keys stay valid
        until it can: an editing mistake must not stop all payments.
        """
        stamp = _stamp(self._file)
        if stamp == self._stamp and self.problem is None:
            return False
        self._stamp = stamp  # of the state before reading, so that a write during reading is noticed the next time
        try:
            self._keys = _by_id(read_keys(self._file))
        except Misconfigured:
            if self.problem is None:
                # The reason is left out, because it may quote the file.
                self.problem = (
                    f"the file of API keys {self._file} cannot be used any more, the keys read before stay valid; "
                    "see cardwatch keys list"
                )
                log.error("%s", self.problem)
            return False
        self.problem = None
        return True


def _stamp(file: Path) -> tuple[int, ...]:
    """Return a value that changes with the file; the error number if the file cannot be examined."""
    try:
        found = file.stat()
    except OSError as error:
        return (error.errno or 0,)
    return found.st_mtime_ns, found.st_size, found.st_ino


def _by_id(keys: Sequence[ApiKey]) -> dict[bytes, tuple[ApiKey, bytes]]:
    return {key.id.encode(): (key, bytes.fromhex(key.sha256)) for key in keys}


class RateLimit:
    """A token bucket per key: the key's rate on average, and bursts of one second's transactions, at least 1.

    A larger batch is admitted when the bucket is full, and its tokens become negative. `share`: the part of each rate
    that this process grants, 1/N in each of N processes. Not thread-safe.
    """

    def __init__(self, share: float = 1.0) -> None:
        self._share = share
        self._buckets: dict[str, tuple[float, float]] = {}  # number of tokens, and the time of that number in seconds

    def take(self, key: ApiKey, transactions: int, now_seconds: float) -> float | None:
        """Take tokens and return None, or return the seconds to wait until there are enough.

        `now_seconds` is the time of a monotonic clock.
        """
        if key.rate_per_second is None:
            return None
        rate = key.rate_per_second * self._share
        burst = max(rate, 1.0)
        tokens, since = self._buckets.get(key.id, (burst, now_seconds))
        tokens = min(burst, tokens + rate * (now_seconds - since))
        missing = min(transactions, burst) - tokens
        if missing > _TOLERANCE:
            return missing / rate
        self._buckets[key.id] = (tokens - transactions, now_seconds)
        return None

    def keep_only(self, ids: Collection[str]) -> None:
        """Drop the buckets of keys that are not among `ids`."""
        self._buckets = {key_id: bucket for key_id, bucket in self._buckets.items() if key_id in ids}
