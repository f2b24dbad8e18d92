"""Requests of the scoring client and its handling of responses, which httpx returns without a server."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import httpx
import numpy as np
import pytest

from adapters.runtime.settings import Settings, new_api_key
from adapters.scoring.client import ScoringClient
from adapters.scoring.wire_format import (
    IDS_HEADER,
    MAX_IDS,
    MAX_IDS_BYTES,
    MSGPACK,
    decode_ids,
    encode_ids,
    encode_scores,
)
from cardwatch.errors import NoModelServed, SchemaMismatch, ScorerBusy, ScoringUnavailable
from cardwatch.features.definitions import FEATURES
from cardwatch.ports import Scores

ROWS = np.zeros((2, len(FEATURES)), np.float32)
SCORES = encode_scores(
    Scores(
        model_version="1",
        model_digest="d",
        margins=np.zeros(2, np.float32),
        probabilities=np.zeros(2),
        reasons=[[], []],
    ),
    MSGPACK,
)

Answering = Callable[[httpx.Response], tuple[ScoringClient, list[httpx.Request]]]


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Answering:
    """Return a client that always gets this response, and the list of its requests."""

    def answer(response: httpx.Response) -> tuple[ScoringClient, list[httpx.Request]]:
        asked: list[httpx.Request] = []

        def reply(request: httpx.Request) -> httpx.Response:
            asked.append(request)
            return response

        with_replies = partial(httpx.Client, transport=httpx.MockTransport(reply))
        monkeypatch.setattr(httpx, "Client", with_replies)
        settings = Settings(scoring_url="http://scoring", api_key=new_api_key())
        return ScoringClient(settings, timeout_seconds=1.0), asked

    return answer


def test_a_request_carries_the_trace_context_of_its_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[httpx.Request] = []

    def reply(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, content=SCORES)

    monkeypatch.setattr(httpx, "Client", partial(httpx.Client, transport=httpx.MockTransport(reply)))
    contexts = iter([{"traceparent": "of the first step"}, {}])
    settings = Settings(scoring_url="http://scoring", api_key=new_api_key())
    client = ScoringClient(settings, timeout_seconds=1.0, trace_headers=lambda: next(contexts))
    for _ in range(2):
        client.score(ROWS, np.zeros(2), schema_hash="0123")
    assert [request.headers.get("traceparent") for request in asked] == ["of the first step", None]


@pytest.mark.parametrize(("level", "sent"), [(logging.INFO, None), (logging.DEBUG, "a%2C%C3%A4,b")])
def test_transaction_ids_are_sent_at_debug_only(
    answering: Answering, caplog: pytest.LogCaptureFixture, level: int, sent: str | None
) -> None:
    caplog.set_level(level, "adapters.scoring.client")
    client, asked = answering(httpx.Response(200, content=SCORES))
    client.score(ROWS, np.zeros(2), schema_hash="0123", transaction_ids=["a,\u00e4", "b"])
    client.score(ROWS, np.zeros(2), schema_hash="0123")
    assert [request.headers.get(IDS_HEADER) for request in asked] == [sent, None]


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (503, "no champion: train one", NoModelServed),
        (503, "busy: 2,000 requests are waiting", ScorerBusy),
        (429, "the API key of 'stream' has used up its rate", ScorerBusy),
        (500, "internal error", ScoringUnavailable),
        (409, "the rows have schema 0123", SchemaMismatch),
    ],
)
def test_a_service_without_a_model_has_its_own_error(
    answering: Answering, status: int, reason: str, kind: type[Exception]
) -> None:
    client, _ = answering(httpx.Response(status, json={"error": reason}))
    with pytest.raises(kind, match=reason) as caught:
        client.score(ROWS, np.zeros(2), schema_hash="0123")
    assert type(caught.value) is kind


@pytest.mark.parametrize(("busy_seconds", "requests"), [(0.0, 1), (30.0, 4)])
def test_a_busy_service_is_asked_again_until_the_time_for_that_is_over(
    monkeypatch: pytest.MonkeyPatch, busy_seconds: float, requests: int
) -> None:
    busy = httpx.Response(503, json={"error": "busy: there is no answer within 5000 ms"})
    responses = [busy, busy, busy, httpx.Response(200, content=SCORES)]
    asked: list[httpx.Request] = []

    def reply(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return responses[len(asked) - 1]

    monkeypatch.setattr(httpx, "Client", partial(httpx.Client, transport=httpx.MockTransport(reply)))
    settings = Settings(scoring_url="http://scoring", api_key=new_api_key())
    client = ScoringClient(settings, timeout_seconds=1.0, busy_seconds=busy_seconds)
    with nullcontext() if requests > 1 else pytest.raises(ScorerBusy):
        client.score(ROWS, np.zeros(2), schema_hash="0123")
    assert len(asked) == requests


def sent_and_read(transaction_ids: list[str]) -> list[str]:
    return decode_ids({IDS_HEADER.lower().encode(): encode_ids(transaction_ids).encode("ascii")})


@pytest.mark.parametrize(
    "odd", ["a,b", "50%", "two words", "line\nbreak", "\u00e4\u20ac\U0001f600", "c" * 64, "\u20ac" * 64]
)
def test_any_id_is_decoded_as_it_was_encoded(odd: str) -> None:
    assert sent_and_read(["t-1", odd, "t-3"]) == ["t-1", odd, "t-3"]


def test_no_more_ids_are_sent_than_fit() -> None:
    assert encode_ids(["a", "b"]) == "a,b"
    assert encode_ids(["a"] * MAX_IDS) == ",".join(["a"] * MAX_IDS)
    assert encode_ids(["a"] * (MAX_IDS + 1)) == ",".join(["a"] * MAX_IDS) + ",..."
    # 64 characters of nine bytes each and a comma: 14 of them are 8,078 bytes, and a 15th has no room.
    long = encode_ids(["\u20ac" * 64] * 20)
    assert (len(long), long.count("%E2%82%AC") / 64, long.endswith(",...")) == (14 * 577 + 3, 14, True)
    assert len(long) <= MAX_IDS_BYTES
    assert sent_and_read([f"t-{number}" for number in range(1_000)]) == [f"t-{number}" for number in range(MAX_IDS)]


def test_received_ids_are_cut_to_their_maximum_lengths() -> None:
    name = IDS_HEADER.lower().encode()
    assert decode_ids({}) == []
    assert decode_ids({name: b""}) == []
    assert decode_ids({name: b"a,,%ff"}) == ["a", "", "\ufffd"]
    assert decode_ids({name: b"x" * 60_000}) == ["x" * 64]
    assert len(decode_ids({name: b"," * 60_000})) == MAX_IDS
