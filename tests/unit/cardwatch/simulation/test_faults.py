"""Faults of the data: what a source sends in place of what happened."""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np
import pytest

from cardwatch.events import Channel, Transaction, decode, encode
from cardwatch.simulation.faults import (
    ClockShift,
    DataFault,
    DuplicatedRecords,
    LateSource,
    NewCodes,
    NullColumn,
    RekeyedMerchants,
    UnitChange,
)
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import EventsOfDay, Simulation, Truth

FAULTY_DAY = 2


def days(*faults: DataFault) -> list[EventsOfDay]:
    settings = SimulationSettings(seed=4, cards=800, merchants=400, fraud_share=0.02, timeline=faults)
    simulation = Simulation(settings)
    return [simulation.day(number) for number in range(FAULTY_DAY + 1)]


def fault(kind: type[DataFault], **fields: object) -> DataFault:
    return kind(**{"name": "fault", "from_day": FAULTY_DAY, "is_harmful": True, **fields})


@pytest.fixture(scope="module")
def right() -> list[EventsOfDay]:
    return days()


Pairs = list[tuple[Transaction, Transaction]]


def sent(right: list[EventsOfDay], *faults: DataFault) -> Pairs:
    """The right transactions of the faulty day, each with what is sent of it."""
    faulty = days(*faults)
    assert faulty[:FAULTY_DAY] == right[:FAULTY_DAY]
    records = {record.transaction_id: record for record in faulty[FAULTY_DAY].transactions}
    return [(each, records[each.transaction_id]) for each in right[FAULTY_DAY].transactions]


def differing(pairs: Pairs) -> set[str]:
    """The fields in which any record differs from what happened."""
    return {
        field
        for happened, record in pairs
        for field in happened.__struct_fields__
        if getattr(happened, field) != getattr(record, field)
    }


@pytest.mark.parametrize(
    ("column", "fields"),
    [
        ("place", {"latitude", "longitude"}),
        ("device_id", {"device_id"}),
        ("customer_id", {"customer_id"}),
        ("previous_outcome", {"previous_outcome"}),
        ("card_range", {"card_range"}),
    ],
)
def test_a_null_column_is_missing_in_every_record(right: list[EventsOfDay], column: str, fields: set[str]) -> None:
    pairs = sent(right, fault(NullColumn, column=column))
    assert differing(pairs) == fields
    assert all(getattr(record, field) is None for _, record in pairs for field in fields)


def test_another_unit_concerns_the_amounts_of_a_channel(right: list[EventsOfDay]) -> None:
    pairs = sent(right, fault(UnitChange, ratio=0.01, channel="ecommerce"))
    assert differing(pairs) == {"amount_minor"}
    for happened, record in pairs:
        is_online = happened.channel is Channel.ECOMMERCE
        expected = max(round(happened.amount_minor / 100), 1) if is_online else happened.amount_minor
        assert abs(record.amount_minor - expected) <= int(is_online)  # halves may be rounded either way


def test_a_wrong_clock_moves_times_around_within_the_day(right: list[EventsOfDay]) -> None:
    pairs = sent(right, fault(ClockShift, hours=6.0))
    assert differing(pairs) == {"occurred_at"}
    for happened, record in pairs:
        assert record.occurred_at.date() == happened.occurred_at.date()
        assert (record.occurred_at - happened.occurred_at).total_seconds() in {6 * 3600.0, -18 * 3600.0}


def test_a_category_comes_with_another_code(right: list[EventsOfDay]) -> None:
    pairs = sent(right, fault(NewCodes, category="5411", code="0042"))
    assert differing(pairs) == {"merchant_category"}
    assert {
        (happened.merchant_category == "5411") == (record.merchant_category == "0042") for happened, record in pairs
    } == {True}


def test_rekeyed_merchants_keep_their_new_ids_and_labels_name_them(right: list[EventsOfDay]) -> None:
    rekeyed = fault(RekeyedMerchants, share=0.5)
    pairs = sent(right, rekeyed)
    assert differing(pairs) == {"merchant_id"}
    new_ids = {(happened.merchant_id, record.merchant_id) for happened, record in pairs}
    assert len(new_ids) == len({old for old, _ in new_ids}) == len({new for _, new in new_ids})
    assert 0.4 < sum(old != new for old, new in new_ids) / len(new_ids) < 0.6
    simulation = Simulation(SimulationSettings(seed=4, cards=800, merchants=400, fraud_share=0.02, timeline=(rekeyed,)))
    merchants = {}
    for number in range(12):
        events = simulation.day(number)
        merchants |= {each.transaction_id: each.merchant_id for each in events.transactions}
        assert all(label.merchant_id == merchants[label.transaction_id] for label in events.labels)


def test_two_rekeyings_choose_independently_and_give_ids_of_their_own(right: list[EventsOfDay]) -> None:
    first, second = fault(RekeyedMerchants, share=0.5), fault(RekeyedMerchants, share=0.5, name="again")
    after_one = {old.merchant_id: new.merchant_id for old, new in sent(right, first)}
    after_both = {old.merchant_id: new.merchant_id for old, new in sent(right, first, second)}
    assert after_both == {old.merchant_id: new.merchant_id for old, new in sent(right, first, second)}
    assert len(set(after_both.values())) == len(after_both)
    moved_by_first = {old for old, new in after_one.items() if new != old}
    moved_by_second = {old for old, new in after_both.items() if new != after_one[old]}
    everyone = len(after_both)
    assert 0.4 < len(moved_by_first) / everyone < 0.6
    assert 0.4 < len(moved_by_second) / everyone < 0.6
    assert 0.15 < len(moved_by_first & moved_by_second) / everyone < 0.35
    known = set(after_one) | set(after_one.values())
    assert all(after_both[old] not in known for old in moved_by_second)


def test_rekeyed_ids_satisfy_the_contract_and_are_distinct_however_often(right: list[EventsOfDay]) -> None:
    often = [fault(RekeyedMerchants, share=1.0, until_day=FAULTY_DAY + number) for number in (1, 1, 1, 2)]
    ids = {each.merchant_id for each in right[FAULTY_DAY].transactions}
    for count in range(1, 5):
        new = {record.merchant_id for _, record in sent(right, *often[:count])}
        assert not new & ids
        ids |= new
        records = [record for _, record in sent(right, *often[:count])]
        assert all(decode(encode(record), Transaction) == record for record in records)
    assert len(ids) == 5 * len({each.merchant_id for each in right[FAULTY_DAY].transactions})


def test_duplicated_records_are_the_same_records_again(right: list[EventsOfDay]) -> None:
    [*_, faulty] = days(fault(DuplicatedRecords, share=0.2))
    happened = right[FAULTY_DAY].transactions
    counts = Counter(record.transaction_id for record in faulty.transactions)
    assert set(counts.values()) == {1, 2}
    assert 0.15 < sum(times == 2 for times in counts.values()) / len(happened) < 0.25
    by_id = {each.transaction_id: each for each in happened}
    assert all(by_id[record.transaction_id] == record for record in faulty.transactions)
    truth = {each.transaction_id: true for each, true in zip(happened, right[FAULTY_DAY].truth, strict=True)}
    pairs: list[tuple[Transaction, Truth]] = list(zip(faulty.transactions, faulty.truth, strict=True))
    assert all(truth[record.transaction_id] == true for record, true in pairs)


def test_a_late_source_changes_the_order_and_nothing_else(right: list[EventsOfDay]) -> None:
    late = fault(LateSource, channel="atm", hours=5.0)
    assert differing(sent(right, late)) == set()
    [*_, faulty] = days(late)
    others = [each for each in faulty.transactions if each.channel is not Channel.ATM]
    assert others == [each for each in right[FAULTY_DAY].transactions if each.channel is not Channel.ATM]
    newest, delays = right[FAULTY_DAY].transactions[0].occurred_at, []
    for record in faulty.transactions:
        delays.append((newest - record.occurred_at).total_seconds() / 3600.0)
        newest = max(newest, record.occurred_at)
    assert 3.0 < max(delays) < 5.0


def test_during_its_ramp_a_fault_affects_a_part(right: list[EventsOfDay]) -> None:
    pairs = sent(right, fault(NullColumn, column="customer_id", ramp_days=3))
    assert np.mean([record.customer_id is None for _, record in pairs]) == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "null_column", "column": "card_id"}, "Invalid enum value 'card_id'"),
        ({"kind": "unit_change", "ratio": 0.0}, "Expected `float` > 0"),
        ({"kind": "clock_shift", "hours": 24.0}, "Expected `float` <= 23"),
        ({"kind": "late_source", "hours": 2.0, "channel": "fax"}, "channel 'fax' is none of chip"),
        ({"kind": "new_codes", "category": "5411", "code": "x"}, "Expected `str` matching regex"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(fields: dict[str, object], message: str) -> None:
    event = {"name": "odd", "from_day": 3, "is_harmful": True, **fields}
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(event, DataFault)
