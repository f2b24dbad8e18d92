"""Dead letters as the page shows them."""

from __future__ import annotations

import pytest

from adapters.records.dead_letters import StoredLetter
from cardwatch.events import DeadLetter
from services.console.letters import SHOWN_CHARACTERS, shown

VALID = (
    b'{"transaction_id":"t-1","card_id":"card-1","merchant_id":"<script>alert(1)</script>","occurred_at":'
    b'"2025-03-08T12:00:00Z","amount_minor":100,"currency":"EUR","merchant_category":"5732","channel":"chip",'
    b'"country":"DE"}'
)


def stored(value: bytes | None, reason: str = "why", **more: object) -> StoredLetter:
    letter = DeadLetter(
        topic="transactions", partition=1, offset=7, key=b"c", value=value, field="$.country", reason=reason, **more
    )  # type: ignore[arg-type]  # fmt: skip
    return StoredLetter(1_000, letter)


def test_a_valid_transaction_is_shown_whole_and_can_be_sent_again() -> None:
    found = shown(stored(VALID))
    assert (found.value, found.is_text, found.is_cut, found.obstacle) == (VALID.decode(), True, False, None)
    assert (found.partition, found.offset, found.size) == (1, 7, len(VALID))
    assert found.rejected_at.timestamp() == 1.0


def test_what_is_still_invalid_says_why() -> None:
    obstacle = shown(stored(VALID.replace(b'"DE"', b'"Germany"'))).obstacle
    assert obstacle is not None
    assert obstacle.startswith("it is still invalid: ")


def test_a_card_number_and_control_characters_of_others_do_not_reach_the_page() -> None:
    found = shown(stored(b"4111111111111111 is no amount", reason="4111111111111111\x1b[2J"))
    assert found.value == "[card number] is no amount"
    assert found.reason == "[card number]\\x1b[2J"


def test_bytes_that_are_no_text_are_listed_as_numbers() -> None:
    found = shown(stored(b"\xff\x00card"))
    assert not found.is_text
    assert found.value == "000000  ff 00 63 61 72 64                                 ..card"


def test_a_long_record_is_cut_and_its_original_is_looked_at_when_it_is_sent() -> None:
    found = shown(stored(b"x" * 5_000, value_bytes=70_000, value_sha256="0" * 64))
    assert (len(found.value), found.is_cut, found.size, found.obstacle) == (SHOWN_CHARACTERS, True, 70_000, None)


@pytest.mark.parametrize("value", [None, b""])
def test_a_record_without_a_value_cannot_be_sent_again(value: bytes | None) -> None:
    found = shown(stored(value))
    assert (found.value, found.size) == ("", 0)
    assert found.obstacle is not None
