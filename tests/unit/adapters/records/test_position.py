"""Positions as people type them and as lists print them."""

from __future__ import annotations

import pytest

from adapters.records.position import LogPosition, parse_position


@pytest.mark.parametrize("text", ["2:17", "transactions-2-17", "transactions[2] 17", "transactions[2]:17", " 2:17 "])
def test_all_forms_name_the_same_record(text: str) -> None:
    assert parse_position(text) == LogPosition("transactions", 2, 17)


def test_a_topic_may_have_dashes() -> None:
    assert parse_position("dead-letters-0-5") == LogPosition("dead-letters", 0, 5)


@pytest.mark.parametrize("text", ["", "17", "t-17", "2:", "a:17", "2:17:3", "transactions[2]", "-1:5", "\u0662:17"])
def test_other_texts_name_none(text: str) -> None:
    assert parse_position(text) is None


def test_a_position_is_printed_in_a_form_that_is_read() -> None:
    position = LogPosition("transactions", 2, 17)
    assert parse_position(str(position)) == position
