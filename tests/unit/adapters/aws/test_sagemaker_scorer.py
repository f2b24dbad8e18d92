"""The scorer behind a SageMaker endpoint against whatever the runtime may do.

With the real service behind it, it is held to its port in `tests/contract/test_scorer.py`.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import numpy as np
import pytest

from adapters.aws.sagemaker_scorer import EndpointScorer
from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.settings import Settings
from adapters.scoring.wire_format import (
    ATTRIBUTES_HEADER,
    DEADLINE_HEADER,
    IDS_HEADER,
    MAX_ATTRIBUTES_CHARACTERS,
    MSGPACK,
    REASONS_HEADER,
    SCHEMA_HEADER,
    decode_ids,
    encode_attributes,
    encode_rows,
    encode_scores,
    header_value,
)
from cardwatch.errors import Misconfigured, NoModelServed, SchemaMismatch, ScorerBusy, ScoringUnavailable
from cardwatch.features.definitions import FEATURES
from cardwatch.ports import Scores

ROWS = np.arange(2 * len(FEATURES), dtype=np.float32).reshape(2, -1)
THRESHOLDS = np.array([0.5, np.inf])
HASH = "0123456789abcdef"


def scores_of(rows: int) -> bytes:
    return encode_scores(
        Scores(
            model_version="1",
            model_digest="d",
            margins=np.zeros(rows, np.float32),
            probabilities=np.zeros(rows),
            reasons=[[] for _ in range(rows)],
        ),
        MSGPACK,
    )


def http(status: int, body: bytes, **headers: str) -> bytes:
    named = {name.replace("_", "-"): value for name, value in headers.items()} | {"content-length": str(len(body))}
    lines = [f"HTTP/1.1 {status} said", *(f"{name}: {value}" for name, value in named.items()), "", ""]
    return "\r\n".join(lines).encode() + body


def model_error(status: int, body: str) -> bytes:
    """What SageMaker makes of a container's refusal."""
    said = {"Message": "Received an error from primary.", "OriginalStatusCode": status, "OriginalMessage": body}
    return http(424, json.dumps(said).encode(), x_amzn_errortype="ModelError")


def refusal(status: int, kind: str) -> bytes:
    """SageMaker's own."""
    return http(status, b'{"Message": "not now"}', x_amzn_errortype=kind)


GOOD = http(200, scores_of(2), content_type=MSGPACK)
Answer = bytes | None


class Runtime:
    """A server that gives to each request its next answer: bytes, or None, and then it closes the connection."""

    def __init__(self, *answers: Answer, wait_seconds: float = 0.0) -> None:
        self.asked: list[tuple[dict[bytes, bytes], bytes]] = []
        self._answers, self._wait_seconds = list(answers), wait_seconds
        self._socket = socket.create_server((LOOPBACK, 0))
        self.url = f"http://{LOOPBACK}:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, name="runtime", daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as reading:
                while self._answer(connection, reading):
                    pass

    def _answer(self, connection: socket.socket, reading: Any) -> bool:
        if not reading.readline():
            return False
        lines = iter(lambda: reading.readline().strip(), b"")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        self.asked.append((headers, reading.read(int(headers[b"content-length"]))))
        time.sleep(self._wait_seconds)
        answer = self._answers.pop(0)
        if answer is None:
            return False
        connection.sendall(answer)
        return True


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")


@pytest.fixture
def scorer_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., EndpointScorer]:
    def open_scorer(url: str, timeout_seconds: float = 5.0) -> EndpointScorer:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        return EndpointScorer(Settings(endpoint="scoring"), timeout_seconds=timeout_seconds)

    return open_scorer


@contextmanager
def running(*answers: Answer, wait_seconds: float = 0.0) -> Iterator[Runtime]:
    runtime = Runtime(*answers, wait_seconds=wait_seconds)
    yield runtime
    runtime.close()


def score(scorer: EndpointScorer, **more: Any) -> Scores:
    return scorer.score(ROWS, THRESHOLDS, schema_hash=HASH, **more)


def test_all_that_the_container_must_know_travels_in_the_body_and_the_attributes(
    scorer_of: Callable[..., EndpointScorer],
) -> None:
    with running(GOOD) as runtime:
        assert score(scorer_of(runtime.url, 0.75)).model_version == "1"
    [(headers, body)] = runtime.asked
    assert body == encode_rows(ROWS, THRESHOLDS)
    assert (headers[b"content-type"], headers[b"accept"]) == (b"application/octet-stream", b"application/msgpack")
    assert header_value(headers, SCHEMA_HEADER) == HASH
    assert header_value(headers, REASONS_HEADER) == "per-row"
    assert header_value(headers, DEADLINE_HEADER) == "750"
    assert header_value(headers, IDS_HEADER) is None


def test_at_debug_as_many_ids_go_along_as_there_is_room_for(
    scorer_of: Callable[..., EndpointScorer], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "adapters.aws.sagemaker_scorer")
    many = [f"transaction {number}" for number in range(1_000)]
    with running(GOOD, GOOD) as runtime:
        scorer = scorer_of(runtime.url)
        score(scorer, transaction_ids=["a;b", "c"])
        score(scorer, transaction_ids=many)
    few, most = (headers for headers, _ in runtime.asked)
    assert decode_ids(few) == ["a;b", "c"]
    sent = decode_ids(most)
    assert sent == many[: len(sent)]
    length = len(most[ATTRIBUTES_HEADER.lower().encode()])
    assert MAX_ATTRIBUTES_CHARACTERS - len("transaction%2099,") < length <= MAX_ATTRIBUTES_CHARACTERS


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (model_error(409, '{"error": "the rows have schema 0123"}'), SchemaMismatch, "the rows have schema 0123"),
        (model_error(503, '{"error": "no champion: train one"}'), NoModelServed, "answered 503: no champion"),
        (model_error(503, '{"error": "busy: 2,000 wait"}'), ScorerBusy, "answered 503: busy"),
        (model_error(500, "<html>"), ScoringUnavailable, "answered 500: <html>"),
        (model_error(422, '{"error": "odd"}'), ScoringUnavailable, "answered 422: odd"),
        (http(424, b"{}", x_amzn_errortype="ModelError"), ScoringUnavailable, "answered 500: "),
        (refusal(400, "ThrottlingException"), ScoringUnavailable, "ThrottlingException"),
        (refusal(400, "ValidationError"), ScoringUnavailable, "ValidationError"),
        (refusal(403, "AccessDeniedException"), ScoringUnavailable, "AccessDeniedException"),
        (refusal(429, "ModelNotReadyException"), ScoringUnavailable, "ModelNotReadyException"),
        (refusal(500, "InternalFailure"), ScoringUnavailable, "InternalFailure"),
        (refusal(503, "ServiceUnavailable"), ScoringUnavailable, "ServiceUnavailable"),
        (http(502, b"<html>"), ScoringUnavailable, "502"),
        (http(200, b"not scores"), ScoringUnavailable, "answered what is not scores"),
        (http(200, scores_of(3)), ScoringUnavailable, "answered 3 scores to 2 rows"),
        (http(200, scores_of(2)).replace(b"length: ", b"length: 9"), ScoringUnavailable, "does not answer"),
    ],
)
def test_each_failure_has_its_kind_and_is_not_tried_again(
    scorer_of: Callable[..., EndpointScorer], answer: bytes, kind: type[Exception], reason: str
) -> None:
    with running(answer, GOOD) as runtime, pytest.raises(kind, match=reason) as caught:
        score(scorer_of(runtime.url, 1.0))
    assert type(caught.value) is kind
    assert len(runtime.asked) == 1


def test_after_a_refusal_the_next_call_is_answered(scorer_of: Callable[..., EndpointScorer]) -> None:
    with running(refusal(400, "ThrottlingException"), GOOD) as runtime:
        scorer = scorer_of(runtime.url)
        with pytest.raises(ScoringUnavailable):
            score(scorer)
        assert score(scorer).model_version == "1"
    assert len(runtime.asked) == 2


def test_a_connection_that_was_closed_meanwhile_is_no_failure(scorer_of: Callable[..., EndpointScorer]) -> None:
    with running(GOOD, None, GOOD) as runtime:
        scorer = scorer_of(runtime.url)
        score(scorer)
        assert score(scorer).model_version == "1"
    assert len(runtime.asked) == 3


def test_who_always_closes_is_asked_twice(scorer_of: Callable[..., EndpointScorer]) -> None:
    odd = b"no HTTP at all\r\n\r\n"
    with running(None, odd, GOOD) as runtime, pytest.raises(ScoringUnavailable, match="does not answer"):
        score(scorer_of(runtime.url))
    assert len(runtime.asked) == 2


def test_who_closes_late_is_not_asked_again(scorer_of: Callable[..., EndpointScorer]) -> None:
    late = running(None, GOOD, wait_seconds=0.3)
    with late as runtime, pytest.raises(ScoringUnavailable, match="ConnectionClosedError"):
        score(scorer_of(runtime.url, 0.5))
    assert len(runtime.asked) == 1


def test_who_has_not_answered_by_the_deadline_is_not_asked_again(scorer_of: Callable[..., EndpointScorer]) -> None:
    with running(GOOD, GOOD, wait_seconds=0.3) as runtime:
        scorer = scorer_of(runtime.url, 0.25)
        begin = time.perf_counter()
        with pytest.raises(ScoringUnavailable, match="ReadTimeoutError"):
            score(scorer)
        assert time.perf_counter() - begin < 2.0
    assert len(runtime.asked) == 1


def test_where_nobody_listens_it_is_away(scorer_of: Callable[..., EndpointScorer]) -> None:
    scorer = scorer_of(f"http://{LOOPBACK}:{free_ports(1)[0]}")
    with pytest.raises(ScoringUnavailable, match="the SageMaker endpoint scoring does not answer"):
        score(scorer)


def test_without_credentials_it_is_away_as_well(
    scorer_of: Callable[..., EndpointScorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it knows them still
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(ScoringUnavailable, match="NoCredentialsError"):
        score(scorer_of("http://127.0.0.1:9"))


def test_without_an_endpoint_or_a_region_there_is_no_scorer(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Misconfigured, match="CARDWATCH_ENDPOINT is not set"):
        EndpointScorer(Settings(), timeout_seconds=1.0)
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(Misconfigured, match="the SageMaker endpoint scoring: no region"):
        EndpointScorer(Settings(endpoint="scoring"), timeout_seconds=1.0)


# Custom attributes


def test_a_header_of_its_own_counts_before_an_attribute() -> None:
    attributes = {ATTRIBUTES_HEADER.lower().encode(): b" Feature-Schema = a ;deadline-ms=5; ; odd;x=y=z"}
    assert header_value(attributes, SCHEMA_HEADER) == "a"
    assert header_value(attributes, DEADLINE_HEADER) == "5"
    assert header_value(attributes, "X-X") == "y=z"
    assert header_value(attributes, REASONS_HEADER) is None
    assert header_value({**attributes, SCHEMA_HEADER.lower().encode(): b"b "}, SCHEMA_HEADER) == "b"
    assert header_value({}, SCHEMA_HEADER) is None


def test_what_is_said_in_attributes_is_read_as_it_was_said() -> None:
    said = {SCHEMA_HEADER: HASH, REASONS_HEADER: "0.5", IDS_HEADER: "a%20b,c=d,..."}
    encoded = encode_attributes(said)
    assert encoded == f"feature-schema={HASH};reasons-above=0.5;transaction-ids=a%20b,c=d,..."
    headers = {ATTRIBUTES_HEADER.lower().encode(): encoded.encode()}
    assert {header: header_value(headers, header) for header in said} == said


@pytest.mark.parametrize("value", ["a;b", "a b", "\u00e4", "a\n", "\x7f", "x" * (MAX_ATTRIBUTES_CHARACTERS - 14)])
def test_what_attributes_cannot_hold_is_not_sent(value: str) -> None:
    assert encode_attributes({SCHEMA_HEADER: "x" * (MAX_ATTRIBUTES_CHARACTERS - 15)})
    with pytest.raises(ValueError, match="attribute"):
        encode_attributes({SCHEMA_HEADER: value})
