"""The kinds of worlds on which the loop is tested, as data: what changes in them, and what the loop should do."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct, structs

from cardwatch.simulation.faults import (
    ClockShift,
    DuplicatedRecords,
    LateSource,
    NewCodes,
    NullColumn,
    RekeyedMerchants,
    UnitChange,
)
from cardwatch.simulation.label_settings import LabelSettings
from cardwatch.simulation.selection import SelectionSettings
from cardwatch.simulation.settings import SimulationSettings, WorldEvent
from cardwatch.simulation.timeline import (
    CategoryGrowth,
    FraudPrevalence,
    Inflation,
    NewTypology,
    SpendingShift,
    change_of_the_demo,
)

CARDS: Final = 2_000
HISTORY_DAYS: Final = 60
"""Days of history from which the first champion is trained, as in the demo."""
LIVE_DAYS: Final = 60
"""Days on which the loop decides and monitors."""
ONSET_DAY: Final = 74
"""Number of the day from which on something is different, counted from the first day of history as 0."""
CONFIRMED_SHARE: Final = 0.6
"""Share of the declined transactions of which customers say whether they were theirs, where nothing else is said."""


class Expectation(StrEnum):
    """What the loop should do after `ONSET_DAY`."""

    NOTHING = "nothing"
    """No retraining is needed."""
    RETRAIN = "retrain"
    """The change costs money until a new model has learnt it."""
    QUARANTINE = "quarantine"
    """The data are wrong: it should be found, and no model should learn from them."""


class StressScenario(Struct, frozen=True, kw_only=True):
    """A kind of world: its name for the command line, and its title.

    `events` change it from `ONSET_DAY` on; `no_labels` stops the source of labels on that day. With
    `reacting_fraudsters` they react to declines from the first live day on.
    """

    name: str
    title: str
    expectation: Expectation
    events: tuple[WorldEvent, ...] = ()
    confirmed_share: float = CONFIRMED_SHARE
    no_labels: bool = False
    reacting_fraudsters: bool = False

    def settings(self, seed: int, cards: int = CARDS) -> SimulationSettings:
        """Return the settings of the world of this kind with a seed."""
        return SimulationSettings(
            seed=seed,
            cards=cards,
            timeline=self.events,
            labels=LabelSettings(selection=SelectionSettings(confirmed_share=self.confirmed_share)),
            reacting_fraudsters=self.reacting_fraudsters,
        )

    def before_onset(self, seed: int, cards: int = CARDS) -> SimulationSettings:
        """Return the settings of the same world in which nothing changes; both give the same days before the onset."""
        return structs.replace(
            self.settings(seed, cards),
            timeline=(),
            labels=LabelSettings(selection=SelectionSettings(confirmed_share=CONFIRMED_SHARE)),
        )


def _fault(name: str, title: str, event: WorldEvent) -> StressScenario:
    return StressScenario(name=name, title=title, expectation=Expectation.QUARANTINE, events=(event,))


SCENARIOS: Final = (
    StressScenario(name="calm", title="calm", expectation=Expectation.NOTHING),
    StressScenario(
        name="relay-and-spending",
        title="relay attack and other spending",
        expectation=Expectation.RETRAIN,
        events=change_of_the_demo(ONSET_DAY),
    ),
    StressScenario(
        name="relay",
        title="relay attack",
        expectation=Expectation.RETRAIN,
        events=(
            NewTypology(name="relay attack", from_day=ONSET_DAY, is_harmful=True, typology="relay_attack", share=0.003),
        ),
    ),
    StressScenario(
        name="relay-growing",
        title="relay attack, growing over two weeks",
        expectation=Expectation.RETRAIN,
        events=(
            NewTypology(
                name="relay attack",
                from_day=ONSET_DAY,
                ramp_days=14,
                is_harmful=True,
                typology="relay_attack",
                share=0.004,
            ),
        ),
    ),
    StressScenario(
        name="inflation",
        title="inflation of 10 % a year",
        expectation=Expectation.NOTHING,
        events=(Inflation(name="inflation", from_day=ONSET_DAY, is_harmful=False, yearly=0.1),),
    ),
    StressScenario(
        name="sales",
        title="two weeks of sales",
        expectation=Expectation.NOTHING,
        events=(
            SpendingShift(
                name="sales",
                from_day=ONSET_DAY,
                until_day=ONSET_DAY + 14,
                ramp_days=3,
                is_harmful=False,
                transaction_ratio=1.3,
                ecommerce_ratio=1.1,
            ),
        ),
    ),
    StressScenario(
        name="category-growth",
        title="a category that grows",
        expectation=Expectation.NOTHING,
        events=(
            CategoryGrowth(
                name="groceries", from_day=ONSET_DAY, ramp_days=20, is_harmful=False, category="5411", ratio=1.5
            ),
        ),
    ),
    StressScenario(
        name="half-fraud",
        title="half the fraud",
        expectation=Expectation.NOTHING,
        events=(FraudPrevalence(name="less fraud", from_day=ONSET_DAY, is_harmful=False, ratio=0.5),),
    ),
    StressScenario(
        name="twice-fraud",
        title="twice the fraud",
        expectation=Expectation.NOTHING,
        events=(FraudPrevalence(name="more fraud", from_day=ONSET_DAY, is_harmful=False, ratio=2.0),),
    ),
    StressScenario(
        name="censored", title="declined fraud stays unknown", expectation=Expectation.NOTHING, confirmed_share=0.0
    ),
    StressScenario(name="no-labels", title="no labels any more", expectation=Expectation.QUARANTINE, no_labels=True),
    StressScenario(
        name="reacting", title="fraudsters that react", expectation=Expectation.NOTHING, reacting_fraudsters=True
    ),
    _fault(
        "amounts-divided", "amounts / 100", UnitChange(name="unit", from_day=ONSET_DAY, is_harmful=True, ratio=0.01)
    ),
    _fault(
        "ecommerce-multiplied",
        "e-commerce amounts x 100",
        UnitChange(name="unit", from_day=ONSET_DAY, is_harmful=True, ratio=100.0, channel="ecommerce"),
    ),
    _fault("clock", "clock 6 hours late", ClockShift(name="clock", from_day=ONSET_DAY, is_harmful=True, hours=6.0)),
    _fault(
        "no-devices", "no devices", NullColumn(name="devices", from_day=ONSET_DAY, is_harmful=True, column="device_id")
    ),
    _fault("no-places", "no places", NullColumn(name="places", from_day=ONSET_DAY, is_harmful=True, column="place")),
    _fault(
        "new-code",
        "another code for groceries",
        NewCodes(name="codes", from_day=ONSET_DAY, is_harmful=True, category="5411", code="9999"),
    ),
    _fault(
        "new-keys",
        "merchants with new keys",
        RekeyedMerchants(name="keys", from_day=ONSET_DAY, is_harmful=True, share=1.0),
    ),
    _fault(
        "duplicates",
        "a tenth of the records twice",
        DuplicatedRecords(name="duplicates", from_day=ONSET_DAY, is_harmful=True, share=0.1),
    ),
    _fault(
        "late",
        "e-commerce 6 hours late",
        LateSource(name="late", from_day=ONSET_DAY, is_harmful=True, hours=6.0, channel="ecommerce"),
    ),
)
"""All kinds of worlds."""
