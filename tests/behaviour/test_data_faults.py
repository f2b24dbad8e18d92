"""What an audit broke from day 74 on, in the demo's world: each is found at once, named, and blocks a retraining."""

from collections.abc import Callable

import numpy as np
import pytest
from msgspec import structs

from benchmarks.data_contract.monitored_world import MonitoredWorld, day_of, monitor_world
from cardwatch.data_contract.quarantine import blocked_reasons
from cardwatch.data_contract.records import CodeColumn, DayRecords
from cardwatch.simulation.faults import ClockShift, DataFault, NullColumn, RekeyedMerchants, UnitChange
from cardwatch.simulation.settings import SimulationSettings

WORLD = SimulationSettings(seed=7)
TRAINED, FAULT, DAYS = 59, 74, 77


def from_fault_day(kind: type[DataFault], **fields: object) -> DataFault:
    return kind(name="fault", from_day=FAULT, is_harmful=True, **fields)  # type: ignore[arg-type]


def with_fault(fault: DataFault) -> MonitoredWorld:
    return monitor_world(structs.replace(WORLD, timeline=(fault,)), as_of=TRAINED, days=DAYS)


def constant_category(number: int, records: DayRecords) -> DayRecords:
    if number < FAULT:
        return records
    constant = CodeColumn(["5411"], np.zeros(len(records), np.int64))
    return structs.replace(records, codes={**records.codes, "merchant_category": constant})


@pytest.mark.rubric("monitor-2")
@pytest.mark.parametrize(
    ("world", "column"),
    [
        (lambda: with_fault(from_fault_day(UnitChange, ratio=0.01)), "amount_minor"),
        (lambda: with_fault(from_fault_day(UnitChange, ratio=100.0, channel="ecommerce")), "amount_minor"),
        (lambda: with_fault(from_fault_day(ClockShift, hours=6.0)), "occurred_at"),
        (lambda: with_fault(from_fault_day(NullColumn, column="device_id")), "device_id"),
        (lambda: with_fault(from_fault_day(NullColumn, column="place")), "latitude"),
        (lambda: with_fault(from_fault_day(RekeyedMerchants, share=1.0)), "merchant_id"),
        (lambda: monitor_world(WORLD, as_of=TRAINED, days=DAYS, change=constant_category), "merchant_category"),
    ],
)
def test_a_fault_is_found_on_its_first_day_named_and_blocks_a_retraining(
    world: Callable[[], MonitoredWorld], column: str
) -> None:
    monitored = world()
    assert monitored.quarantined == list(range(FAULT, DAYS))
    for number in range(FAULT, DAYS):
        assert column in {finding.column for finding in monitored.findings[number]}
        assert {finding.since for finding in monitored.findings[number] if finding.column == column} == {
            day_of(WORLD, FAULT)
        }
        [reason] = blocked_reasons(monitored.findings[number])
        assert column in reason
        assert str(day_of(WORLD, FAULT)) in reason
    assert monitored.state.excluded_days == {day_of(WORLD, number) for number in range(FAULT, DAYS)}


def test_labels_that_stop_are_found_within_a_week_and_block_a_retraining() -> None:
    monitored = monitor_world(WORLD, as_of=TRAINED, days=FAULT + 8, no_labels_from=FAULT)
    assert monitored.quarantined
    assert {finding.column for number in monitored.quarantined for finding in monitored.findings[number]} == {"labels"}
    assert monitored.quarantined[-1] == FAULT + 7
    assert day_of(WORLD, FAULT) in monitored.state.excluded_days
    assert blocked_reasons(monitored.findings[FAULT + 7])


def test_the_change_of_the_demo_is_no_fault_of_the_data() -> None:
    monitored = monitor_world(structs.replace(WORLD, change_day=FAULT), as_of=TRAINED, days=FAULT + 14)
    assert monitored.quarantined == []
