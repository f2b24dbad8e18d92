"""Admission control: API key, rate limit, number of pending requests, and deadline of a request.

A service that receives more requests than it can answer must reject some early; otherwise it answers none in time. A
request is rejected before any work if its deadline has passed or too many requests are pending.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from adapters.scoring.api_keys import ApiKey, KeyScope, RateLimit
from adapters.scoring.wire_format import BUSY, DEADLINE_HEADER, header_value
from services.scoring.http.routes import HttpError, Request

MAX_PENDING: Final = 2_000
"""Maximum number of requests per worker without a response yet. Further callers should decide by their own rules."""
MAX_PENDING_REMOTE: Final = 64
"""Maximum number of pending requests that wait for another machine."""
MAX_DEADLINE_MS: Final = 60_000
_REFRESH_SECONDS: Final = 1.0


class Keys(Protocol):
    """The valid API keys: `adapters.scoring.api_keys.KeyRing`, or `IamKeyRing` on SageMaker."""

    @property
    def ids(self) -> frozenset[str]:
        """The ids of all valid keys."""

    def check(self, authorization: bytes, scope: KeyScope, /) -> ApiKey:
        """Return the key in an `Authorization` header; raise `KeyRefused` if it is not valid for `scope`."""

    def refresh(self) -> bool:
        """Read the keys again if they have changed, and return whether they have."""


class Admission:
    """Check requests before their work starts.

    `deadline_ms` applies to requests without a deadline. `count_shed` is called with the reason ("queue", "deadline" or
    "rate") of each rejection that protects other requests.
    """

    def __init__(self, keys: Keys, limit: RateLimit, deadline_ms: int, count_shed: Callable[[str], None]) -> None:
        self._keys, self._limit, self._default_seconds, self._count_shed = keys, limit, deadline_ms / 1e3, count_shed
        self._refresh_at = 0.0
        self._pending_remote = 0

    def authenticate(self, request: Request, scope: KeyScope) -> ApiKey:
        """Return the caller's key; raise `KeyRefused` if it is not valid for `scope`."""
        now = time.perf_counter()
        if now >= self._refresh_at:
            self._refresh_at = now + _REFRESH_SECONDS
            if self._keys.refresh():
                self._limit.keep_only(self._keys.ids)
        return self._keys.check(request.headers.get(b"authorization", b""), scope)

    def admit(self, request: Request, scope: KeyScope) -> ApiKey:
        """Authenticate a request and set its deadline.

        Raise `KeyRefused`, or `HttpError` if too many requests are pending or the deadline has passed.
        """
        key = self.authenticate(request, scope)
        allowed = header_value(request.headers, DEADLINE_HEADER)
        seconds = self._default_seconds if allowed is None else _deadline_seconds(allowed)
        request.deadline = request.arrival_time + seconds
        if request.pending > MAX_PENDING:
            raise self._queue_error(MAX_PENDING)
        self.require_time_left(request)
        return key

    def require_time_left(self, request: Request) -> None:
        """Raise `HttpError` if the deadline has passed, when the caller no longer waits for the response."""
        if time.perf_counter() > request.deadline:
            raise self.deadline_error(request)

    def deadline_error(self, request: Request) -> HttpError:
        """Return the error of a request whose deadline has passed, and count it."""
        self._count_shed("deadline")
        allowed_ms = (request.deadline - request.arrival_time) * 1e3
        return HttpError(503, f"{BUSY}: there is no answer within {allowed_ms:.0f} ms", retry_after="1")

    @contextmanager
    def remote_request(self) -> Iterator[None]:
        """Count a request as waiting for another machine in this context; raise `HttpError` if too many wait."""
        if self._pending_remote >= MAX_PENDING_REMOTE:
            raise self._queue_error(MAX_PENDING_REMOTE)
        self._pending_remote += 1
        try:
            yield
        finally:
            self._pending_remote -= 1

    def limit_rate(self, key: ApiKey, transactions: int) -> None:
        """Take `transactions` from the key's token bucket; raise `HttpError` 429 if there are too few tokens."""
        if key.rate_per_second is None:
            return
        wait_seconds = self._limit.take(key, transactions, time.perf_counter())
        if wait_seconds is not None:
            self._count_shed("rate")
            raise HttpError(
                429,
                f"the API key of {key.name!r} has used up its rate of {key.rate_per_second:g} transactions a second",
                retry_after=str(math.ceil(wait_seconds)),
            )

    def _queue_error(self, limit: int) -> HttpError:
        self._count_shed("queue")
        return HttpError(503, f"{BUSY}: {limit:,} requests are waiting", retry_after="1")


def _deadline_seconds(allowed: str) -> float:
    if not (allowed.isdecimal() and len(allowed) <= 5 and 0 < int(allowed) <= MAX_DEADLINE_MS):
        raise HttpError(400, f"{DEADLINE_HEADER} is not a whole number of milliseconds from 1 to {MAX_DEADLINE_MS}")
    return int(allowed) / 1e3
