"""Kinds of worlds on which the data contract is measured: calm ones, harmless changes, and faults of a source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct, structs

from benchmarks.data_contract.monitored_world import Change
from cardwatch.data_contract.records import CodeColumn, DayRecords
from cardwatch.simulation.faults import (
    ClockShift,
    DuplicatedRecords,
    LateSource,
    NewCodes,
    NullColumn,
    RekeyedMerchants,
    UnitChange,
)
from cardwatch.simulation.settings import WorldEvent
from cardwatch.simulation.timeline import (
    CategoryGrowth,
    FraudPrevalence,
    Inflation,
    NewMerchants,
    NewTypology,
    SpendingShift,
    change_of_the_demo,
)

AS_OF: Final = 34
"""Day number at whose end the contract is learned: 28 days, and 7 before them whose keys are known."""
ONSET: Final = 44
"""First day of what happens."""
CALM, HARMLESS, FAULT = "calm", "harmless", "fault"
GROCERIES: Final = "5411"
_COLUMN_OF_PLACE: Final = "latitude"


class Scenario(Struct, frozen=True, kw_only=True):
    """A kind of world, which changes on day `ONSET`. `column` is the one that a fault changes, empty without a fault.

    `change` changes the records, `no_labels`: no label arrives any more.
    """

    name: str
    kind: str
    events: tuple[WorldEvent, ...] = ()
    column: str = ""
    change: Change | None = None
    no_labels: bool = False


def scenarios() -> list[Scenario]:
    """Return all scenarios: the calm one, harmless changes, faults."""
    return [Scenario(name="nothing changes", kind=CALM), *_harmless(), *_faults()]


def _event(kind: type[Any], **fields: Any) -> WorldEvent:
    event: WorldEvent = kind(name="event", from_day=ONSET, is_harmful=False, **fields)
    return event


def _harmless() -> list[Scenario]:
    christmas = _event(SpendingShift, ramp_days=14, transaction_ratio=1.35, amount_ratio=1.15, ecommerce_ratio=1.2)
    changes: dict[str, Sequence[WorldEvent]] = {
        "inflation of 30 % a year": [_event(Inflation, yearly=0.3)],
        "prices 30 % higher at once": [_event(SpendingShift, amount_ratio=1.3)],
        "a seasonal peak, as in examples/timelines/year.yaml": [christmas],
        "a new typology, 0.5 % of all transactions": [_event(NewTypology, typology="relay_attack", share=0.005)],
        "three times as much fraud": [_event(FraudPrevalence, ratio=3.0)],
        "40 % of the fraud": [_event(FraudPrevalence, ratio=0.4)],
        "a category grows 2.5 times": [_event(CategoryGrowth, category="5816", ratio=2.5)],
        "new online merchants": [_event(NewMerchants)],
        "the change of the demo": change_of_the_demo(ONSET),
    }
    return [Scenario(name=name, kind=HARMLESS, events=tuple(events)) for name, events in changes.items()]


def _faults() -> list[Scenario]:
    nulls = ("device_id", "place", "customer_id", "previous_outcome", "card_range")
    found: list[tuple[str, str, WorldEvent]] = [
        *(
            (f"{name} is null", _COLUMN_OF_PLACE if name == "place" else name, _event(NullColumn, column=name))
            for name in nulls
        ),
        ("amounts / 100", "amount_minor", _event(UnitChange, ratio=0.01)),
        ("amounts x 100, e-commerce", "amount_minor", _event(UnitChange, ratio=100.0, channel="ecommerce")),
        ("amounts / 100, swipe", "amount_minor", _event(UnitChange, ratio=0.01, channel="swipe")),
        ("amounts x 3, contactless", "amount_minor", _event(UnitChange, ratio=3.0, channel="contactless")),
        ("clock + 6 h", "occurred_at", _event(ClockShift, hours=6.0)),
        ("clock - 3 h", "occurred_at", _event(ClockShift, hours=-3.0)),
        ("clock + 6 h, atm", "occurred_at", _event(ClockShift, hours=6.0, channel="atm")),
        ("code of groceries is unknown", "merchant_category", _event(NewCodes, category=GROCERIES, code="9999")),
        ("restaurants have the code of bars", "merchant_category", _event(NewCodes, category="5812", code="5813")),
        ("all merchants re-keyed", "merchant_id", _event(RekeyedMerchants, share=1.0)),
        ("30 % of the merchants re-keyed", "merchant_id", _event(RekeyedMerchants, share=0.3)),
        ("5 % of the records sent twice", "transaction_id", _event(DuplicatedRecords, share=0.05)),
        ("records up to 3 h late", "occurred_at", _event(LateSource, hours=3.0)),
        ("records up to 4 h late, e-commerce", "occurred_at", _event(LateSource, hours=4.0, channel="ecommerce")),
    ]
    return [
        *(Scenario(name=name, kind=FAULT, events=(event,), column=column) for name, column, event in found),
        Scenario(name="constant category", kind=FAULT, column="merchant_category", change=constant_category),
        Scenario(name="no label arrives", kind=FAULT, column="labels", no_labels=True),
    ]


def constant_category(number: int, records: DayRecords) -> DayRecords:
    """Return the records of a source that sends one merchant category for all, from day `ONSET` on."""
    if number < ONSET:
        return records
    constant = CodeColumn([GROCERIES], np.zeros(len(records), np.int64))
    return structs.replace(records, codes={**records.codes, "merchant_category": constant})
