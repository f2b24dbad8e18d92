"""Tokens with which clients log in (SASL OAUTHBEARER): one source per connection, used by both Kafka clients.

Both ask for a token when they connect and before the broker ends their session. The source fetches one, keeps it for
most of its life, and hands it to every client of the process.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Final, NamedTuple

from adapters.kafka.diagnosis import Cause, cause_of
from adapters.kafka.oidc import client_credentials
from adapters.runtime.addresses import Secret, plain
from adapters.runtime.clock import epoch_ms
from adapters.runtime.kafka_connection import MSK_IAM, KafkaConnection
from cardwatch.errors import BrokerUnavailable, CardwatchError

RENEWAL_RATIO: Final = 0.75
"""Part of its life for which a token is handed out. librdkafka asks for another one at 0.8 and kafka-python at 0.85 or
later, and both then get a new one."""
_RETRY_SECONDS: Final = 1.0
"""Time after a failed renewal in which no other one is tried: several clients may ask at once."""


class Token(NamedTuple):
    """A token, and when it was fetched and expires, in seconds since 1970."""

    text: Secret
    fetched_at: float
    expires_at: float

    @property
    def renew_at(self) -> float:
        """Time from which it is replaced, in seconds since 1970."""
        return self.fetched_at + RENEWAL_RATIO * (self.expires_at - self.fetched_at)


class TokenSource:
    """Hands out a valid token. `fetch` returns text and expiry (seconds since 1970); `now` is the time in seconds.

    Its methods may be called by several threads.
    """

    def __init__(self, fetch: Callable[[], tuple[str, float]], now: Callable[[], float]) -> None:
        self._fetch, self._now = fetch, now
        self._lock = Lock()
        self._token: Token | None = None
        self._failure: CardwatchError | None = None
        self._retry_at = 0.0

    def token(self) -> Token:
        """Return a token that is not expired, a new one if most of the life of the last one is over.

        If a new one cannot be fetched, the last one is returned until it expires. Then it raises why:
        `BrokerUnavailable` if the same may succeed later, else `Misconfigured`.
        """
        with self._lock:
            now = self._now()
            if self._token is not None and now < self._token.renew_at:
                return self._token
            if now >= self._retry_at:
                try:
                    text, expires_at = self._fetch()
                    self._token, self._failure = Token(Secret(text), now, expires_at), None
                    return self._token
                except CardwatchError as error:
                    self._failure = error
                    self._retry_at = self._now() + _RETRY_SECONDS
            if self._token is not None and now < self._token.expires_at:
                return self._token
            failure = self._failure or BrokerUnavailable("there is no token yet")
            raise type(failure)(str(failure)) from failure

    def cause(self) -> Cause | None:
        """Return why the newest attempt to fetch a token failed, None if it did not."""
        failure = self._failure
        return None if failure is None else cause_of(failure)


@cache
def token_source(broker: KafkaConnection) -> TokenSource:
    """Return the source of a connection whose mechanism is OAUTHBEARER; the same one for all clients of the process."""
    return TokenSource(lambda: _fetch(broker), _seconds)


def _fetch(broker: KafkaConnection) -> tuple[str, float]:
    if broker.token_provider == MSK_IAM:
        from adapters.aws.msk_iam import signed_token  # noqa: PLC0415 (boto3 takes half a second, and only MSK needs it)

        return signed_token(broker.aws_region)
    begin = _seconds()
    answer = client_credentials(broker.token_url, broker.username, plain(broker.password), broker.token_scope)
    return answer.access_token, begin + answer.expires_in


def _seconds() -> float:
    return epoch_ms() / 1_000.0
