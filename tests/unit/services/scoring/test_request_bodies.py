"""Bodies in parts, incomplete bodies and bodies that are too large."""

from __future__ import annotations

import asyncio

import pytest

from services.scoring.http.routes import HttpError, Request
from tests.unit.services.scoring.worker import (
    BodyParts,
)


@pytest.mark.parametrize(
    "parts",
    [[b"abcdef"], [b"abc", b"def"], [b"", b"abcdef", b""], [bytes([byte]) for byte in b"abcdef"]],
    ids=["one", "two", "empty ones", "bytes"],
)
def test_a_body_is_the_sum_of_its_parts(parts: list[bytes]) -> None:
    receive = BodyParts(parts)
    assert asyncio.run(Request({"headers": []}, receive).body(6)) == b"abcdef"
    assert receive.taken == len(parts)


def refused(receive: BodyParts, max_bytes: int, declared: str | None = None) -> HttpError:
    headers = [] if declared is None else [(b"content-length", declared.encode())]
    with pytest.raises(HttpError) as refusal:
        asyncio.run(Request({"headers": headers}, receive).body(max_bytes))
    return refusal.value


def test_a_body_that_is_too_large_is_not_read_further() -> None:
    for parts, taken in (([b"abcdef"], 1), ([b"abc", b"def", b"ghi"], 2), ([b"a"] * 9, 6)):
        receive = BodyParts(parts)
        assert refused(receive, max_bytes=5).status == 413
        assert receive.taken == taken
    for declared in ("6", "9" * 400):
        receive = BodyParts([b"abcdef"])
        assert refused(receive, 5, declared).status == 413
        assert receive.taken == 0


def test_an_incomplete_body_is_rejected() -> None:
    for parts in ([], [b"abc"], [b"abc", b""]):
        refusal = refused(BodyParts(parts, complete=False), max_bytes=100)
        assert (refusal.status, str(refusal)) == (400, "the connection was closed before the request was whole")
