"""The fields of a transaction as options: checked by the contract of the topic, and named as options."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import pytest
from click.testing import CliRunner
from msgspec import structs

from cardwatch.errors import Misconfigured
from cardwatch.events import Channel, Transaction
from cli.send import send
from cli.send.fields import field_options, transaction_from_options

NOW = datetime(2025, 3, 8, 12, tzinfo=UTC)
GIVEN = {
    "card_id": "card-1",
    "merchant_id": "shop-1",
    "amount_minor": "12990",
    "currency": "EUR",
    "merchant_category": "5732",
    "channel": "ecommerce",
    "country": "DE",
}


def refusal(given: dict[str, str]) -> str:
    with pytest.raises(Misconfigured) as refused:
        transaction_from_options(given, NOW)
    return str(refused.value)


def test_every_field_of_the_contract_has_an_option() -> None:
    @field_options
    def command(**_fields: str) -> None:
        """Do nothing."""

    named = {parameter.name for parameter in click.command(command).params}
    assert named == {field.name for field in structs.fields(Transaction)}


def test_fields_become_a_transaction_with_an_id_and_the_time_of_now() -> None:
    made = transaction_from_options({**GIVEN, "latitude": "52.5", "longitude": "13"}, NOW)
    assert (made.card_id, made.amount_minor, made.channel, made.latitude) == ("card-1", 12_990, Channel.ECOMMERCE, 52.5)
    assert made.occurred_at == NOW
    assert made.transaction_id != transaction_from_options(GIVEN, NOW).transaction_id


def test_missing_fields_are_all_named() -> None:
    assert "a transaction needs --merchant-id, --currency too" in refusal(
        {name: value for name, value in GIVEN.items() if name not in ("merchant_id", "currency")}
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("card_id", "c-\udcff", r"--card-id='c-\\udcff': is not UTF-8"),
        ("amount_minor", "129.90", "--amount-minor='129.90': Expected `int`, got `float`"),
        ("amount_minor", "-1", "--amount-minor='-1': Expected `int` >= 0"),
        ("amount_minor", "NaN", "--amount-minor='NaN': Expected `int`, got `str`"),
        ("latitude", "91", "--latitude='91': Expected `float` <= 90.0"),
        ("channel", "post", "--channel='post': Invalid enum value 'post'"),
        ("occurred_at", "2025-03-08T12:00:00", "--occurred-at='2025-03-08T12:00:00': Expected `datetime`"),
        ("card_id", "4111 1111 1111 1111", "--card-id='[card number]': looks like a card number"),
        ("device_id", "", "--device-id='': Expected `str` of length >= 1"),
    ],
)
def test_a_value_that_breaks_the_contract_is_named_by_its_option(name: str, value: str, message: str) -> None:
    assert refusal({**GIVEN, name: value}).startswith(message)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(send, arguments)
    assert isinstance(result.exception, Misconfigured), result.output
    return str(result.exception)


def test_a_file_and_fields_exclude_each_other_and_one_is_needed(tmp_path: object) -> None:
    assert "give FILE or --card-id, not both" in run("-", "--card-id", "c")
    assert "nothing to send" in run()
