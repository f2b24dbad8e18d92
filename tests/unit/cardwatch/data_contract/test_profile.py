"""The profile of a day, counted by hand."""

import numpy as np

from cardwatch.data_contract.profile import KeyCount, distinct_keys, profile_day
from tests.day_records import MONDAY, day_records


def test_counts_missing_values_codes_and_hours_per_channel() -> None:
    records = day_records(
        [
            {"channel": "chip", "minute": 0.0, "device_id": None},
            {"channel": "chip", "minute": 14.9, "device_id": None, "merchant_category": "5812"},
            {"channel": "ecommerce", "minute": 15.0, "device_id": "d-1", "latitude": None, "country": "FR"},
        ]
    )
    profile = profile_day(MONDAY, records)
    assert profile.rows == 3
    assert {name: channel.rows for name, channel in profile.channels.items()} == {"chip": 2, "ecommerce": 1}
    assert profile.channels["chip"].missing["device_id"] == 2
    assert profile.channels["ecommerce"].missing == {
        "latitude": 1, "longitude": 0, "device_id": 0, "customer_id": 0, "previous_outcome": 1, "card_range": 0
    }  # fmt: skip
    assert profile.channels["chip"].quarters[:2] == [2, 0]
    assert profile.channels["ecommerce"].quarters[:2] == [0, 1]
    assert profile.codes["merchant_category"] == {"5411": 2, "5812": 1}
    assert profile.codes["country"] == {"DE": 2, "FR": 1}
    assert profile.codes["previous_outcome"] == {}


def test_amounts_are_counted_in_eighths_of_an_octave() -> None:
    profile = profile_day(MONDAY, day_records([{"amount_minor": amount} for amount in (0, 1, 2, 1_024, 1_100)]))
    # log2 of 1 is 0, of 2 is 1, of 1,024 is 10, and of 1,100 it is 10.10, below the next step at 10.125.
    assert profile.channels["chip"].amounts == {0: 2, 8: 1, 80: 2}


def test_keys_that_no_earlier_day_had_are_unknown_and_missing_ones_are_not_counted() -> None:
    before = distinct_keys([day_records([{"device_id": "d-1"}, {"merchant_id": "m-2"}])])
    today = day_records([{"device_id": "d-1"}, {"device_id": "d-2", "merchant_id": "m-2"}, {"merchant_id": "m-3"}])
    assert profile_day(MONDAY, today, known=before).keys == {
        "card_id": KeyCount(rows=3, unknown=0),
        "merchant_id": KeyCount(rows=3, unknown=1),
        "device_id": KeyCount(rows=2, unknown=1),
    }
    assert profile_day(MONDAY, today).keys is None


def test_a_repeated_id_is_no_copy_and_a_copy_has_an_id_of_its_own() -> None:
    records = day_records(
        [
            {"transaction_id": "a"},
            {"transaction_id": "a"},  # sent twice
            {"transaction_id": "b"},  # a copy of the first
            {"transaction_id": "c", "amount_minor": 1_001},
            {"transaction_id": "d", "minute": 720.001},
            {"transaction_id": "e", "card_id": "c-2"},
        ]
    )
    profile = profile_day(MONDAY, records)
    assert (profile.repeated, profile.copied) == (1, 1)


def test_a_record_is_displaced_by_its_distance_from_the_median_of_its_neighbours() -> None:
    on_time = [{"minute": 600.0} for _ in range(11)]
    late = [*on_time[:5], {"minute": 540.0, "channel": "atm"}, *on_time[6:]]
    profile = profile_day(MONDAY, day_records(late))
    assert profile.channels["atm"].displaced_ms == 3_600_000
    assert profile.channels["chip"].displaced_ms == 0


def test_the_log_of_each_partition_has_its_own_order() -> None:
    rows = [{"minute": 10.0, "partition": 0} for _ in range(11)] + [{"minute": 900.0, "partition": 1}] * 11
    mixed = [row for pair in zip(rows[:11], rows[11:], strict=True) for row in pair]
    assert profile_day(MONDAY, day_records(mixed)).channels["chip"].displaced_ms == 0


def test_a_day_without_records_has_a_profile() -> None:
    empty = day_records([])
    profile = profile_day(MONDAY, empty, known=distinct_keys([empty]), labels=0)
    assert (profile.rows, profile.channels, profile.repeated, profile.copied) == (0, {}, 0, 0)
    assert np.array_equal(distinct_keys([])["card_id"], np.zeros(0, np.uint64))
