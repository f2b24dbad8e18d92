"""Tokens of OAUTHBEARER: when they are renewed, what an identity provider may answer, and what is told."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from adapters.kafka.oidc import client_credentials
from adapters.kafka.tokens import TokenSource, token_source
from adapters.runtime.addresses import HttpUrl, plain
from adapters.runtime.ports import LOOPBACK
from cardwatch.errors import BrokerUnavailable, CardwatchError, Misconfigured
from tests.integration.token_endpoint import CLIENT_ID, CLIENT_SECRET, SCOPE, TokenEndpoint


class Provider:
    """Fetches tokens of 100 s that are named by their number, at a time that the test sets."""

    def __init__(self) -> None:
        self.now, self.fetched = 1_000.0, 0
        self.failure: CardwatchError | None = None
        self.source = TokenSource(self.fetch, lambda: self.now)

    def fetch(self) -> tuple[str, float]:
        self.fetched += 1
        if self.failure is not None:
            raise self.failure
        return f"token-{self.fetched}", self.now + 100.0

    def at(self, seconds: float) -> str:
        self.now = 1_000.0 + seconds
        return plain(self.source.token().text)


def test_a_token_is_kept_for_three_quarters_of_its_life_and_then_replaced() -> None:
    provider = Provider()
    assert [provider.at(seconds) for seconds in (0, 74, 75, 149)] == ["token-1", "token-1", "token-2", "token-2"]
    assert provider.fetched == 2
    assert provider.source.token().expires_at == 1_175.0


def test_clients_that_ask_at_once_get_one_token() -> None:
    provider = Provider()
    with ThreadPoolExecutor(8) as pool:
        assert {token.text for token in pool.map(lambda _: provider.source.token(), range(64))} == {"token-1"}
    assert provider.fetched == 1


def test_a_token_that_cannot_be_renewed_is_used_until_it_expires_and_then_the_reason_is_raised() -> None:
    provider = Provider()
    provider.at(0)
    provider.failure = BrokerUnavailable("the identity provider is away")
    assert provider.at(80) == "token-1"
    assert provider.at(80.9) == "token-1"
    assert provider.fetched == 2  # not tried again within a second
    cause = provider.source.cause()
    assert cause is not None
    assert (cause.text, cause.is_permanent) == ("the identity provider is away", False)
    assert provider.at(99.9) == "token-1"
    for seconds in (100.0, 100.5):
        with pytest.raises(BrokerUnavailable, match="the identity provider is away"):
            provider.at(seconds)
    provider.failure = None
    assert provider.at(102) == "token-4"  # the third attempt was at 99.9
    assert provider.source.cause() is None


def test_a_token_is_never_shown() -> None:
    provider = Provider()
    assert "token-1" not in repr(provider.source.token())


@pytest.fixture(scope="module")
def provider() -> Iterator[TokenEndpoint]:
    with TokenEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
def endpoint(provider: TokenEndpoint) -> Iterator[TokenEndpoint]:
    yield provider
    provider.refusal = None


def fetch(url: str, password: str = CLIENT_SECRET, scope: str = SCOPE) -> str:
    return client_credentials(HttpUrl(url), CLIENT_ID, password, scope).access_token


def test_client_and_secret_with_special_characters_get_a_token_with_its_life(endpoint: TokenEndpoint) -> None:
    answer = client_credentials(HttpUrl(endpoint.url), CLIENT_ID, CLIENT_SECRET, "")
    assert (answer.access_token, answer.expires_in) == (endpoint.grants[-1], 300.0)
    assert answer.access_token not in repr(answer)


def test_the_clients_of_a_process_share_a_token(endpoint: TokenEndpoint) -> None:
    before = len(endpoint.grants)
    for _ in range(3):
        token_source(endpoint.connection("a:1")).token()
    assert len(endpoint.grants) == before + 1


def test_a_client_that_is_refused_is_told_what_to_correct(endpoint: TokenEndpoint) -> None:
    with pytest.raises(Misconfigured, match=r"401 \(invalid_client\): .*'card watch'.*_USERNAME or .*_PASSWORD") as it:
        fetch(endpoint.url, "guessed")
    assert "guessed" not in str(it.value)
    assert "s3cret" not in str(it.value)  # the endpoint's description repeats it
    with pytest.raises(Misconfigured, match=r"400 \(invalid_scope\): correct CARDWATCH_KAFKA_TOKEN_SCOPE='all'"):
        fetch(endpoint.url, scope="all")


@pytest.mark.parametrize(
    ("status", "body", "error", "message"),
    [
        (200, b'{"access_token": "abc"}', Misconfigured, "without a token that has access_token and expires_in"),
        (200, b'{"access_token": "abc", "expires_in": 0}', Misconfigured, "without a token"),
        (200, b'{"access_token": "a\\u0001b", "expires_in": 60}', Misconfigured, "without a token"),
        (200, b'{"access_token": "", "expires_in": 60}', Misconfigured, "without a token"),
        (200, b"<html>Sign in</html>", Misconfigured, "without a token"),
        (200, b"\xff", Misconfigured, "without a token"),
        (302, b"", Misconfigured, "answers 302: it must be the token endpoint itself"),
        (404, b"not here", Misconfigured, "answers 404: it must be the token endpoint itself"),
        (400, b'{"error": "your secret s3cret is wrong"}', Misconfigured, "answers 400: it must be"),
        (400, b'{"error": 7}', Misconfigured, "answers 400: it must be"),
        (429, b"", BrokerUnavailable, "there is no token to log in with: .* answers 429"),
        (503, b"", BrokerUnavailable, "there is no token to log in with: .* answers 503"),
    ],
)
def test_an_answer_without_a_token_is_told_with_the_variable(
    endpoint: TokenEndpoint, status: int, body: bytes, error: type[CardwatchError], message: str
) -> None:
    endpoint.refusal = status, body
    with pytest.raises(error, match=f"CARDWATCH_KAFKA_TOKEN_URL='{re.escape(endpoint.url)}'") as refusal:
        fetch(endpoint.url)
    assert re.search(message, str(refusal.value))
    assert "s3cret" not in str(refusal.value)


def test_a_life_that_is_given_as_text_is_read(endpoint: TokenEndpoint) -> None:
    endpoint.refusal = 200, b'{"access_token": "abc", "expires_in": "3599"}'
    assert client_credentials(HttpUrl(endpoint.url), CLIENT_ID, CLIENT_SECRET, "").expires_in == 3599.0


def test_an_endpoint_that_is_away_is_told_and_may_come_back() -> None:
    with pytest.raises(
        BrokerUnavailable, match=r"_TOKEN_URL='http://127\.0\.0\.1:9/t' does not answer \(connection re"
    ):
        fetch("http://127.0.0.1:9/t")
    with pytest.raises(BrokerUnavailable, match=r"_TOKEN_URL='http://sso\.invalid/t' does not answer \(.*name"):
        fetch("http://sso.invalid/t")


def test_a_silent_endpoint_is_given_up_after_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.kafka.oidc.TIMEOUT_SECONDS", 0.2)
    with (
        socket.create_server((LOOPBACK, 0)) as server,
        pytest.raises(BrokerUnavailable, match=r"does not answer \(.*timed out\)"),
    ):
        fetch(f"http://{LOOPBACK}:{server.getsockname()[1]}/token")
