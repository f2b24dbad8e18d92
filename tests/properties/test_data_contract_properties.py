"""Properties of the data contract that hold for whatever a source sends."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from cardwatch.data_contract.contract import (
    MINIMUM_DAYS,
    check_day,
    decode_contract,
    encode_contract,
    learn_contract,
)
from cardwatch.data_contract.finding import DataFinding
from cardwatch.data_contract.profile import DayProfile, distinct_keys, profile_day
from cardwatch.data_contract.quarantine import QuarantineState, after_day, after_release
from cardwatch.data_contract.records import CodeColumn, DayRecords
from tests.day_records import day_number, day_records

texts = st.sampled_from(["a", "b", "c", "d"])
row = st.fixed_dictionaries(
    {
        "transaction_id": st.text("xyz", min_size=1, max_size=3),
        "channel": st.sampled_from(["chip", "ecommerce", "atm"]),
        "merchant_category": st.sampled_from(["5411", "5812", "0000"]),
        "country": st.sampled_from(["DE", "FR"]),
        "card_id": texts,
        "merchant_id": texts,
        "device_id": st.none() | texts,
        "latitude": st.none() | st.just(1.0),
        "previous_outcome": st.sampled_from([None, "approved", "declined"]),
        "amount_minor": st.integers(0, 10**12),
        "minute": st.floats(0, 1439.99),
        "partition": st.integers(0, 2),
    }
)
# A few distinct rows, often repeated, so that channels reach the number of records from which they are measured.
rows = st.lists(st.tuples(row, st.integers(1, 60)), max_size=6)
Rows = list[tuple[dict[str, Any], int]]

KNOWN = distinct_keys([day_records([{"card_id": "a", "merchant_id": "a"}])])  # compiles the hashes, too


def repeated(sent: Rows) -> list[dict[str, Any]]:
    return [dict(each) for each, times in sent for _ in range(times)]


def profile(sent: Rows, number: int = 0, labels: int | None = 3) -> DayProfile:
    day = day_number(number)
    return profile_day(day, day_records(repeated(sent), day), known=KNOWN, labels=labels)


def shuffled(records: DayRecords, order: list[int]) -> DayRecords:
    positions = np.array(order, np.int64)
    return DayRecords(
        transaction_ids=records.transaction_ids[positions],
        keys={name: values[positions] for name, values in records.keys.items()},
        occurred_at_ms=records.occurred_at_ms[positions],
        amount_minor=records.amount_minor[positions],
        codes={name: CodeColumn(codes.values, codes.index[positions]) for name, codes in records.codes.items()},
        missing={name: values[positions] for name, values in records.missing.items()},
        partitions=records.partitions[positions],
        log_offsets=records.log_offsets[positions],
    )


@settings(deadline=None)
@given(st.data())
def test_the_order_in_which_records_are_read_has_no_influence(data: st.DataObject) -> None:
    records = day_records(repeated(data.draw(rows)))
    order = data.draw(st.permutations(range(len(records))))
    known = distinct_keys([records])
    assert profile_day(day_number(0), shuffled(records, order), known=known) == profile_day(
        day_number(0), records, known=known
    )


@settings(deadline=None)
@given(reference=rows, today=rows, labels=st.none() | st.integers(0, 50))
def test_any_day_is_checked_against_any_reference_and_findings_are_finite(
    reference: Rows, today: Rows, labels: int | None
) -> None:
    days = [profile(reference[number:], number, labels) for number in range(MINIMUM_DAYS)]
    contract = learn_contract(days)
    assert decode_contract(encode_contract(contract)) == contract
    for finding in check_day(contract, profile(today, MINIMUM_DAYS, labels), labels_before=[labels or 0] * 14):
        assert np.isfinite([finding.low, finding.high, finding.seen]).all()
        assert finding.sentence


@settings(deadline=None)
@given(sent=rows, labels=st.integers(0, 50))
def test_a_contract_of_equal_days_accepts_such_a_day(sent: Rows, labels: int) -> None:
    days = [profile(sent, number, labels) for number in range(MINIMUM_DAYS + 1)]
    assert check_day(learn_contract(days[:-1]), days[-1], labels_before=[labels] * 14) == []


@settings(deadline=None)
@given(reference=rows, today=rows)
def test_a_day_whose_findings_are_accepted_is_right(reference: Rows, today: Rows) -> None:
    contract = learn_contract([profile(reference, number) for number in range(MINIMUM_DAYS)])
    day = profile(today, MINIMUM_DAYS)
    assert check_day(contract, day, accepted=check_day(contract, day)) == []


def found_on(number: int, column: str) -> DataFinding:
    day = day_number(number)
    return DataFinding(
        check="null_share", column=column, day=day, since=day, affects_from=day, sentence="it is missing"
    )


steps = st.lists(st.sampled_from([[], ["device_id"], ["latitude"], ["device_id", "latitude"]]), min_size=1, max_size=12)


@settings(deadline=None)
@given(days=steps, first=st.integers(0, 12), last=st.integers(0, 12))
def test_exactly_the_days_with_findings_are_excluded_until_they_are_released(
    days: list[list[str]], first: int, last: int
) -> None:
    state = QuarantineState()
    for number, columns in enumerate(days):
        state = after_day(state, day_number(number), "1", [found_on(number, column) for column in columns])
    bad = {day_number(number) for number, columns in enumerate(days) if columns}
    released = {day for day in bad if day_number(first) <= day <= day_number(last)}
    after = after_release(state, day_number(first), day_number(last))
    assert state.excluded_days == bad
    assert bool(state.open_findings) == bool(days[-1])
    assert after.excluded_days == bad - released
    assert bool(after.open_findings) == bool(days[-1] and state.newest not in released)
    assert after_release(after, day_number(first), day_number(last)) == structs.replace(after)
