"""JSON lines: everything is checked, and named by line, field and reason, before anything is sent."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import msgspec
import pytest

from cardwatch.errors import Misconfigured
from cardwatch.events import Transaction, encode
from cli.send import lines
from cli.send.lines import MAX_LINE_BYTES, read_transactions
from tests.unit.services.records_of_others import PAYMENT


def line(**changes: Any) -> bytes:
    """A line of the file, valid unless `changes` break it."""
    return msgspec.json.encode(msgspec.to_builtins(PAYMENT) | changes) + b"\n"


def read(*content: bytes, skip: bool = False) -> tuple[list[Transaction], list[str]]:
    said: list[str] = []
    return read_transactions(BytesIO(b"".join(content)), skip=skip, report=said.append), said


def refusal(*content: bytes) -> str:
    with pytest.raises(Misconfigured) as refused:
        read(*content)
    return str(refused.value)


def test_transactions_are_read_whatever_ends_or_surrounds_the_lines() -> None:
    content = [b"\xef\xbb\xbf", line(transaction_id="a"), b"\r\n", b"  \n", b" ", line(transaction_id="b").strip()]
    found, _ = read(*content)
    assert [each.transaction_id for each in found] == ["a", "b"]
    assert encode(found[1]) == encode(msgspec.structs.replace(PAYMENT, transaction_id="b"))


def test_every_bad_line_is_named_with_field_and_reason() -> None:
    text = refusal(
        line(transaction_id="a"),
        line(amount_minor="12"),
        b"\n",
        b"nonsense\n",
        line(card_id="4111111111111111"),
        line(surprise=1),
        b"[" * 2_000 + b"\n",
    )
    assert "nothing was sent, because 5 of 6 lines of the input are no transactions" in text
    assert "line 2: $.amount_minor: Expected `int`, got `str`" in text
    assert "line 4: JSON is malformed" in text
    assert "line 5: $.card_id: looks like a card number" in text
    assert "line 6: Object contains unknown field `surprise`" in text
    assert "line 7: " in text
    assert "--on-error skip" in text
    assert "4111" not in text


def test_bad_lines_can_be_left_out_and_are_still_named() -> None:
    found, said = read(line(transaction_id="a"), line(country="Germany"), line(transaction_id="b"), skip=True)
    assert [each.transaction_id for each in found] == ["a", "b"]
    assert [text.partition(":")[2][:18] for text in said] == [" line 2: $.country"]


def test_an_id_that_occurs_twice_for_a_card_is_refused_and_the_same_id_of_another_card_is_not() -> None:
    text = refusal(line(), line(card_id="another"), line(amount_minor=5))
    assert "1 of 3 lines" in text
    assert "line 3: $.transaction_id: is that of line 1, too" in text


def test_names_in_a_line_cannot_act_on_the_terminal() -> None:
    assert "\x1b" not in refusal(line(**{"\x1b[2J": 1}))


def test_a_line_without_an_end_is_not_read_into_memory() -> None:
    valid = line().strip()
    long = valid[:-1] + b" " * (MAX_LINE_BYTES - len(valid)) + b"}\n"
    assert len(read(long)[0]) == 1  # exactly the limit
    text = refusal(line(), b"x" * (3 * MAX_LINE_BYTES) + b"\n", b" " + long)
    assert "2 of 3 lines" in text
    assert f"line 2: longer than {MAX_LINE_BYTES:,} bytes" in text
    assert f"line 3: longer than {MAX_LINE_BYTES:,} bytes" in text


def test_more_lines_than_can_be_kept_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINES", 2)
    assert "more than 2 lines" in refusal(line(transaction_id="a"), b"\n", line(transaction_id="b"))


def test_many_errors_are_counted_and_the_first_shown() -> None:
    text = refusal(*[b"{}\n"] * 50)
    assert text.count("\n  line ") == lines.SHOWN_ERRORS
    assert "and 30 more" in text


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_nothing_to_send_is_an_error(content: bytes) -> None:
    assert "there is no transaction in the input" in refusal(content)
