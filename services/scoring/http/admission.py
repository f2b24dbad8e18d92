"""Who may come in: the key, its rate, and whether there is still time to answer.

A service that is asked more than it can answer must refuse some at once, or it answers nobody in time. What has waited
too long to be useful is refused before any work; and so is what would make the queue longer than it may be.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from adapters.scoring.api_keys import ApiKey, KeyScope, RateLimit
from adapters.scoring.wire_format import DEADLINE_HEADER, said_in
from services.scoring.http.routes import Refusal, Request

MAX_WAITING: Final = 2_000
"""Requests of one worker that have arrived and not been answered; more are better off deciding by their rules."""
MAX_REMOTE_WAITING: Final = 64
"""Of them, those that wait for another machine."""
MAX_DEADLINE_MS: Final = 60_000
_REFRESH_SECONDS: Final = 1.0


class Keys(Protocol):
    """The keys that are taken; see `adapters.scoring.api_keys.KeyRing`."""

    @property
    def ids(self) -> frozenset[str]:
        """The ids of all that are valid now."""
        ...

    def check(self, authorization: bytes, scope: KeyScope, /) -> ApiKey:
        """The key in an `Authorization` header, if it is valid for `scope`; raises `KeyRefused`."""
        ...

    def refresh(self) -> bool:
        """Whether other keys are valid than before."""
        ...


class Admission:
    """`deadline_ms` holds for requests that name none. `shed` is told why a request was refused to protect others."""

    def __init__(self, keys: Keys, limit: RateLimit, deadline_ms: int, shed: Callable[[str], None]) -> None:
        self._keys, self._limit, self._default_seconds, self._shed = keys, limit, deadline_ms / 1e3, shed
        self._refresh_at = 0.0
        self._elsewhere = 0

    def key(self, request: Request, scope: KeyScope) -> ApiKey:
        """The caller's key, if it is valid for `scope`; raises `KeyRefused`."""
        now = time.perf_counter()
        if now >= self._refresh_at:
            self._refresh_at = now + _REFRESH_SECONDS
            if self._keys.refresh():
                self._limit.keep_only(self._keys.ids)
        return self._keys.check(request.headers.get(b"authorization", b""), scope)

    def admit(self, request: Request) -> None:
        """Set the request's deadline; raises `Refusal` if there is no room or no time for it."""
        allowed = said_in(request.headers, DEADLINE_HEADER)
        seconds = self._default_seconds if allowed is None else _deadline_seconds(allowed)
        request.deadline = request.arrived + seconds
        if request.waiting > MAX_WAITING:
            raise self._busy(MAX_WAITING)
        self.require_time(request)

    def require_time(self, request: Request) -> None:
        """Raise `Refusal` if the deadline has passed: nobody waits for the answer any more."""
        if time.perf_counter() > request.deadline:
            raise self.too_late(request)

    def too_late(self, request: Request) -> Refusal:
        """What to raise when the deadline has passed."""
        self._shed("deadline")
        allowed_ms = (request.deadline - request.arrived) * 1e3
        return Refusal(503, f"busy: there is no answer within {allowed_ms:.0f} ms", retry_after="1")

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """A stretch in which a request waits for another machine; raises `Refusal` if too many do."""
        if self._elsewhere >= MAX_REMOTE_WAITING:
            raise self._busy(MAX_REMOTE_WAITING)
        self._elsewhere += 1
        try:
            yield
        finally:
            self._elsewhere -= 1

    def count(self, key: ApiKey, transactions: int) -> None:
        """Take `transactions` from what the key may send; raises `Refusal` 429 if that is used up."""
        if key.rate_per_second is None:
            return
        wait_seconds = self._limit.take(key, transactions, time.perf_counter())
        if wait_seconds is not None:
            self._shed("rate")
            raise Refusal(
                429,
                f"the API key of {key.name!r} has used up its rate of {key.rate_per_second:g} transactions a second",
                retry_after=str(math.ceil(wait_seconds)),
            )

    def _busy(self, most: int) -> Refusal:
        self._shed("queue")
        return Refusal(503, f"busy: {most:,} requests are waiting", retry_after="1")


def _deadline_seconds(allowed: str) -> float:
    if not (allowed.isdecimal() and len(allowed) <= 5 and 0 < int(allowed) <= MAX_DEADLINE_MS):
        raise Refusal(400, f"{DEADLINE_HEADER} is not a whole number of milliseconds from 1 to {MAX_DEADLINE_MS}")
    return int(allowed) / 1e3
