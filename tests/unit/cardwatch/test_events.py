"""Which records the contracts accept and which they refuse."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from cardwatch.card_numbers import looks_like_card_number
from cardwatch.errors import InvalidRecord
from cardwatch.events import DeadLetter, Decision, Transaction, decode, encode, from_epoch_ms, to_epoch_ms
from cardwatch.topics import DEAD_LETTERS, DECISIONS
from tests.unit.services.records_of_others import DECISION, EXAMPLES

MINIMAL: dict[str, Any] = {
    "transaction_id": "t-1",
    "card_id": "c-1",
    "merchant_id": "m-1",
    "occurred_at": "2025-01-06T12:00:00Z",
    "amount_minor": 0,
    "currency": "EUR",
    "merchant_category": "5411",
    "channel": "chip",
    "country": "DE",
}

EACH_IDENTIFIER = pytest.mark.parametrize(
    "field", ["transaction_id", "card_id", "merchant_id", "device_id", "customer_id", "card_range"]
)


def reading(**changes: Any) -> Transaction:
    fields = {**MINIMAL, **changes}
    return decode(msgspec.json.encode({k: v for k, v in fields.items() if v is not ...}), Transaction)


def test_optional_fields_may_be_missing() -> None:
    assert reading().device_id is None


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"amount_minor": -1}, "$.amount_minor", ">= 0"),
        ({"amount_minor": 1.5}, "$.amount_minor", "got `float`"),
        ({"amount_minor": "12"}, "$.amount_minor", "got `str`"),
        ({"card_id": ""}, "$.card_id", "length >= 1"),
        ({"card_id": ...}, "", "missing required field `card_id`"),
        ({"currency": "eur"}, "$.currency", "matching regex"),
        ({"merchant_category": "541"}, "$.merchant_category", "matching regex"),
        ({"channel": "carrier pigeon"}, "$.channel", "Invalid enum value"),
        ({"country": "germ"}, "$.country", "length <= 2"),
        ({"country": "DE\n"}, "$.country", "length <= 2"),
        ({"currency": "EUR\n"}, "$.currency", "length <= 3"),
        ({"merchant_category": "5411\n"}, "$.merchant_category", "length <= 4"),
        ({"occurred_at": "2025-01-06T12:00:00"}, "$.occurred_at", "timezone"),
        ({"occurred_at": "yesterday"}, "$.occurred_at", "Invalid RFC3339"),
        ({"latitude": 91.0}, "$.latitude", "<= 90"),
        ({"amount": 12}, "", "unknown field `amount`"),
    ],
)
def test_a_broken_field_is_refused_with_its_path_and_the_reason(
    change: dict[str, Any], field: str, reason: str
) -> None:
    with pytest.raises(InvalidRecord) as refused:
        reading(**change)
    assert refused.value.field == field
    assert reason in refused.value.reason


@pytest.mark.parametrize(("propensity", "is_accepted"), [(1.0, True), (1e-6, True), (0, False), (1.1, False)])
def test_a_control_propensity_is_a_probability_above_zero(propensity: float, is_accepted: bool) -> None:
    record = json.loads(encode(DECISION)) | {"control_propensity": propensity}
    if is_accepted:
        assert decode(json.dumps(record).encode(), Decision).control_propensity == propensity
    else:
        with pytest.raises(InvalidRecord, match="control_propensity"):
            decode(json.dumps(record).encode(), Decision)


def test_a_decision_of_before_has_no_control_propensity() -> None:
    assert "control_propensity" not in json.loads(encode(DECISION))
    assert decode(encode(DECISION), Decision).control_propensity is None


@pytest.mark.parametrize("data", [None, b"", b"null", b"[]", b"\xff\xfe", b"{"])
def test_input_that_is_no_record_is_refused(data: bytes | None) -> None:
    with pytest.raises(InvalidRecord):
        decode(data, Transaction)


# 4111 1111 1111 1111 is a published test number; with another last digit Luhn's sum no longer ends in 0.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4111111111111111", True),
        ("4111 1111 1111 1111", True),
        ("4111-1111-1111-1111", True),
        ("4111111111111112", False),
        ("411111111111", False),
        ("card-4111111111111111", False),
        ("", False),
    ],
)
def test_card_numbers_are_recognised_by_length_and_check_digit(text: str, expected: bool) -> None:
    assert looks_like_card_number(text) is expected


@pytest.mark.rubric("data-5")
@EACH_IDENTIFIER
def test_an_identifier_that_is_a_card_number_is_refused(field: str) -> None:
    with pytest.raises(InvalidRecord, match="looks like a card number") as refused:
        reading(**{field: "4111111111111111"})
    assert refused.value.field == f"$.{field}"


@pytest.mark.parametrize("written", ['="4111111111111111"', "(4111-1111-1111-1111)", "#4111111111111111.0"])
def test_a_card_number_in_quotes_or_brackets_is_refused_as_a_card(written: str) -> None:
    with pytest.raises(InvalidRecord, match="looks like a card number"):
        reading(card_id=written)


@EACH_IDENTIFIER
@pytest.mark.parametrize(
    "written",
    ["tok_4111111111111111", "card 4111111111111111", "Refund to 4111 1111 1111 1111 thanks", ";4111111111111111=2612",
     "amex 3400 000000 00009", "https://shop/?pan=4111111111111111"],
)  # fmt: skip
def test_a_card_number_beside_other_text_is_refused_as_an_evaluation_refuses_it(field: str, written: str) -> None:
    with pytest.raises(InvalidRecord, match="looks like a card number") as refused:
        reading(**{field: written})
    assert refused.value.field == f"$.{field}"


@pytest.mark.parametrize(
    "token",
    ["a4111111111111111", "550e8400-e29b-41d4-a716-446655440000", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "tok_4111111111111112",
     "t-00012-000017", "2024-03-01-000123-0000000017", "DE89370400440532013000", "-4111111111111112"],
)  # fmt: skip
def test_tokens_with_many_digits_are_no_card_numbers(token: str) -> None:
    decoded = reading(card_id=token, merchant_id=token)
    assert (decoded.card_id, decoded.merchant_id) == (token, token)


def test_a_version_with_a_control_character_is_refused_because_no_sql_index_holds_it() -> None:
    decision = json.loads(encode(EXAMPLES[DECISIONS][0])) | {"model_version": "1\0"}
    with pytest.raises(InvalidRecord, match="contains a control character") as refused:
        decode(json.dumps(decision).encode(), Decision)
    assert refused.value.field == "$.model_version"


@pytest.mark.parametrize(("name", "value"), [("partition", 10**30), ("partition", -1), ("offset", 2**70)])
def test_a_dead_letter_names_a_position_that_can_exist(name: str, value: int) -> None:
    letter = json.loads(encode(EXAMPLES[DEAD_LETTERS][0])) | {name: value}
    with pytest.raises(InvalidRecord) as refused:
        decode(json.dumps(letter).encode(), DeadLetter)
    assert refused.value.field == f"$.{name}"


def test_times_are_exact_to_the_millisecond_in_every_zone() -> None:
    moment = datetime(2025, 1, 6, 12, 0, 0, 1_000, tzinfo=UTC)
    elsewhere = moment.astimezone(timezone(timedelta(hours=-5)))
    assert to_epoch_ms(moment) == to_epoch_ms(elsewhere) == 1_736_164_800_001
    assert from_epoch_ms(1_736_164_800_001) == moment
