"""What breaks the data contract of a hundred chip and a hundred online payments a day, and what does not."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import pytest

from cardwatch.data_contract.contract import (
    MINIMUM_DAYS,
    DataContract,
    check_day,
    decode_contract,
    encode_contract,
    learn_contract,
)
from cardwatch.data_contract.finding import DataFinding
from cardwatch.data_contract.profile import DayProfile, distinct_keys, profile_day
from cardwatch.errors import CorruptModel
from tests.day_records import day_number, day_records

Row = Mapping[str, Any]
TODAY = day_number(MINIMUM_DAYS)
CATEGORIES = ("5411", "5812", "5732", "7832")
ONLINE = "ecommerce"


def usual_rows(number: int) -> list[Row]:
    """A day: purchases from 8 to 18 h of 5 to 24.80 euros, in four categories, from 20 merchants and 50 cards."""
    return [
        {
            "transaction_id": f"t-{number}-{row}",
            "channel": "chip" if row % 2 else ONLINE,
            "device_id": None if row % 2 else f"d-{row % 50}",
            "latitude": 50.0 if row % 2 else None,
            "merchant_category": CATEGORIES[row // 2 % 4],
            "merchant_id": f"m-{row % 20}",
            "card_id": f"c-{row % 50}",
            "amount_minor": 500 + 20 * (row // 2),
            "minute": 480.0 + 3.0 * row,
        }
        for row in range(200)
    ]


def profile(day: date, rows: list[Row], labels: int = 30) -> DayProfile:
    known = distinct_keys([day_records(usual_rows(0))])
    return profile_day(day, day_records(rows, day), known=known, labels=labels)


CONTRACT = learn_contract([profile(day_number(number), usual_rows(number)) for number in range(MINIMUM_DAYS)])


def findings(rows: list[Row], contract: DataContract = CONTRACT) -> list[DataFinding]:
    return check_day(contract, profile(TODAY, rows), labels_before=[30] * 13)


def changed(change: Callable[[int, Row], Row]) -> list[Row]:
    return [change(number, row) for number, row in enumerate(usual_rows(MINIMUM_DAYS))]


def found(rows: list[Row]) -> set[tuple[str, str, str | None]]:
    return {finding.subject for finding in findings(rows)}


def test_a_day_like_those_of_the_reference_is_right() -> None:
    assert findings(usual_rows(MINIMUM_DAYS)) == []


def is_online(row: Row) -> bool:
    return row["channel"] == ONLINE


@pytest.mark.rubric("data-1")
@pytest.mark.parametrize(
    ("change", "subject"),
    [
        (lambda _, row: {**row, "device_id": None}, ("null_share", "device_id", ONLINE)),
        (lambda _, row: {**row, "latitude": None}, ("null_share", "latitude", "chip")),
        (lambda _, row: {**row, "latitude": 50.0}, ("null_share", "latitude", ONLINE)),
        (lambda _, row: {**row, "country": "XX"}, ("unseen_codes", "country", None)),
        (lambda _, row: {**row, "merchant_category": "5411"}, ("vanished_codes", "merchant_category", None)),
        (lambda _, row: {**row, "merchant_category": "5411"}, ("code_mix", "merchant_category", None)),
        (lambda _, row: {**row, "amount_minor": row["amount_minor"] // 100}, ("amount_scale", "amount_minor", "chip")),
        (
            lambda _, row: {**row, "amount_minor": row["amount_minor"] * (100 if is_online(row) else 1)},
            ("amount_scale", "amount_minor", ONLINE),
        ),
        (
            lambda n, row: {**row, "amount_minor": row["amount_minor"] * (100 if n % 5 == 0 else 1)},
            ("amount_range", "amount_minor", "chip"),
        ),
        (lambda _, row: {**row, "minute": (row["minute"] + 360.0) % 1440.0}, ("clock", "occurred_at", "chip")),
        (lambda _, row: {**row, "merchant_id": f"new-{row['merchant_id']}"}, ("unknown_keys", "merchant_id", None)),
        (lambda _, row: {**row, "card_id": f"new-{row['card_id']}"}, ("unknown_keys", "card_id", None)),
        (
            lambda n, row: {**row, "minute": row["minute"] + (120.0 if n % 4 == 0 else 0.0)},
            ("log_order", "occurred_at", ONLINE),
        ),
    ],
)
def test_a_fault_is_found_and_its_column_named(
    change: Callable[[int, Row], Row], subject: tuple[str, str, str | None]
) -> None:
    assert subject in found(changed(change))


def test_inflation_of_thirty_percent_and_a_clock_of_one_hour_are_no_faults() -> None:
    assert found(changed(lambda _, row: {**row, "amount_minor": round(row["amount_minor"] * 1.3)})) == set()
    assert found(changed(lambda _, row: {**row, "minute": row["minute"] + 60.0})) == set()


def test_records_that_are_sent_twice_are_found_and_copies_under_another_id_too() -> None:
    rows = usual_rows(MINIMUM_DAYS)
    again = [{**row, "transaction_id": f"{row['transaction_id']}-copy"} for row in rows[:40]]
    assert ("repeated_records", "transaction_id", None) in found([*rows, *rows[:40]])
    assert ("copied_records", "records", None) in found([*rows, *again])


def test_a_channel_that_stops_and_a_day_without_records_are_found() -> None:
    without = [row for row in usual_rows(MINIMUM_DAYS) if not is_online(row)]
    assert {("volume", "records", ONLINE), ("vanished_codes", "channel", None)} <= found(without)
    assert ("volume", "records", None) in found([])


def test_a_source_that_stops_at_noon_leaves_silent_hours() -> None:
    # In the mean 20 records an hour; those from 13 h on are moved to the morning, so that the number stays the same.
    early = changed(lambda _, row: {**row, "minute": 480.0 + row["minute"] % 300.0})
    silent = [finding for finding in findings(early) if finding.check == "silent_hours"]
    assert [round(finding.seen, 2) for finding in silent] == [0.5]


def test_a_channel_that_the_reference_does_not_know_is_an_unseen_code() -> None:
    subjects = found(changed(lambda n, row: {**row, "channel": "recurring" if n % 10 == 0 else row["channel"]}))
    assert ("unseen_codes", "channel", None) in subjects


def test_a_finding_says_what_was_expected_and_seen() -> None:
    [finding] = findings(changed(lambda _, row: {**row, "country": "XX"}))[:1]
    assert (finding.day, finding.since, finding.affects_from) == (TODAY, TODAY, TODAY)
    assert finding.codes in (["DE"], ["XX"])
    assert any(
        sentence == "country has codes that the reference does not know in 100.0% of the records: XX"
        for sentence in (each.sentence for each in findings(changed(lambda _, row: {**row, "country": "XX"})))
    )


def test_a_value_like_one_that_was_accepted_is_right_and_a_worse_one_is_not() -> None:
    third = changed(lambda n, row: {**row, "device_id": None if n % 3 == 0 else row["device_id"]})
    none = changed(lambda _, row: {**row, "device_id": None})
    accepted = findings(third)
    assert [finding.subject for finding in accepted] == [("null_share", "device_id", ONLINE)]
    assert check_day(CONTRACT, profile(TODAY, third), accepted=accepted) == []
    assert check_day(CONTRACT, profile(TODAY, none), accepted=accepted) != []


def test_an_accepted_code_does_not_accept_another_one() -> None:
    some = changed(lambda n, row: {**row, "country": "XX" if n % 10 == 0 else "DE"})
    others = changed(lambda n, row: {**row, "country": "YY" if n % 10 == 0 else "DE"})
    accepted = findings(some)
    assert check_day(CONTRACT, profile(TODAY, some), accepted=accepted) == []
    assert [finding.codes for finding in check_day(CONTRACT, profile(TODAY, others), accepted=accepted)] == [["YY"]]


def test_a_bad_day_of_the_reference_does_not_widen_the_contract() -> None:
    days = [profile(day_number(number), usual_rows(number)) for number in range(MINIMUM_DAYS - 1)]
    bad = profile(day_number(13), changed(lambda _, row: {**row, "amount_minor": row["amount_minor"] * 100}))
    tainted = changed(lambda _, row: {**row, "amount_minor": row["amount_minor"] * 100})
    assert ("amount_scale", "amount_minor", "chip") in {
        finding.subject for finding in findings(tainted, learn_contract([*days, bad]))
    }


def test_midnight_does_not_split_the_clock() -> None:
    def night(number: int, hours: float) -> DayProfile:
        rows = [
            {**row, "minute": (1320.0 + hours * 60.0 + n % 240) % 1440.0} for n, row in enumerate(usual_rows(number))
        ]
        return profile(day_number(number), rows)

    contract = learn_contract([night(number, number % 3 - 1.0) for number in range(MINIMUM_DAYS)])
    limits = [limit for limit in contract.limits if limit.check == "clock"]
    assert all(limit.low > 22.0 and limit.high < 2.0 for limit in limits)
    assert {finding.check for finding in check_day(contract, night(MINIMUM_DAYS, 0.0))} == set()
    assert "clock" in {finding.check for finding in check_day(contract, night(MINIMUM_DAYS, 6.0))}


@pytest.mark.parametrize(
    ("per_day", "today", "before", "is_silent"),
    [
        (30, 0, [0, 0], True),
        (30, 0, [0, 10], False),  # 10 of 90 are more than a tenth
        (30, 8, [0, 0], True),
        (30, 0, [0], False),  # too few days to say
        (2, 0, [0] * 13, True),  # ten days let expect 20
        (1, 0, [0] * 30, False),  # fewer than 20 in two weeks
    ],
)
def test_labels_are_silent_when_a_tenth_of_them_is_left(
    per_day: int, today: int, before: list[int], *, is_silent: bool
) -> None:
    days = [profile(day_number(number), usual_rows(number), labels=per_day) for number in range(MINIMUM_DAYS)]
    found = check_day(
        learn_contract(days), profile(TODAY, usual_rows(MINIMUM_DAYS), labels=today), labels_before=before
    )
    assert [finding.column for finding in found] == ["labels"] * is_silent


def test_silent_labels_affect_all_the_days_that_were_compared() -> None:
    [finding] = check_day(CONTRACT, profile(TODAY, usual_rows(MINIMUM_DAYS), labels=0), labels_before=[0, 0])
    assert finding.affects_from == day_number(MINIMUM_DAYS - 2)


def test_a_contract_is_read_as_it_was_written_and_nothing_else_is() -> None:
    assert decode_contract(encode_contract(CONTRACT)) == CONTRACT
    for other in (b"", b"{}", encode_contract(CONTRACT).replace(b'"clock"', b'"crystal ball"')):
        with pytest.raises(CorruptModel, match="data_contract"):
            decode_contract(other)


def test_a_contract_needs_two_weeks() -> None:
    with pytest.raises(ValueError, match="needs 14 days"):
        learn_contract([profile(day_number(number), usual_rows(number)) for number in range(MINIMUM_DAYS - 1)])
