"""The settings of a simulation."""

from __future__ import annotations

from datetime import date

from msgspec import Struct

from cardwatch.errors import Misconfigured
from cardwatch.simulation.combined_ratios import find_excess
from cardwatch.simulation.faults import DataFault
from cardwatch.simulation.label_settings import LabelSettings
from cardwatch.simulation.merchants import MAX_MERCHANTS
from cardwatch.simulation.timeline import TimelineEvent, change_of_the_demo

WorldEvent = TimelineEvent | DataFault
"""Whatever can be on the timeline of a world."""


class SimulationSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of a simulation: equal settings give equal events.

    `fraud_share` is the expected share of fraud in all transactions before anything changes, in 0..0.05. `timeline` is
    what changes, in days counted from `first_day` as 0. `change_day` is the day of the demo's change, see
    `change_of_the_demo`; None: there is none. `labels` says how labels arrive; it changes no transaction.
    With `reacting_fraudsters`, groups whose transactions are declined try other tactics; they see declines only if
    `Simulation.observe_declines` is told of them.
    """

    seed: int
    cards: int = 2_000
    merchants: int = 1_200
    first_day: date = date(2025, 1, 6)
    fraud_share: float = 0.003
    change_day: int | None = None
    timeline: tuple[WorldEvent, ...] = ()
    labels: LabelSettings = LabelSettings()
    reacting_fraudsters: bool = False

    def __post_init__(self) -> None:
        """Raise `Misconfigured`, naming the field, if a value is out of range."""
        for field, least in (("seed", 0), ("cards", 50), ("merchants", 200)):
            if (value := getattr(self, field)) < least:
                raise Misconfigured(f"world: {field}={value} must be at least {least}")
        if self.merchants > MAX_MERCHANTS:
            raise Misconfigured(f"world: merchants={self.merchants} must be at most {MAX_MERCHANTS}")
        if not 0 <= self.fraud_share <= 0.05:
            raise Misconfigured(f"world: fraud_share={self.fraud_share} must lie in 0..0.05")
        if self.change_day is not None and self.change_day < 0:
            raise Misconfigured(f"world: change_day={self.change_day} must not be negative")
        if (excess := find_excess(self.events())) is not None:
            raise Misconfigured(f"world: {excess.reason}")

    def events(self) -> tuple[WorldEvent, ...]:
        """Return everything that changes: the timeline, and the demo's change."""
        return self.timeline + (() if self.change_day is None else change_of_the_demo(self.change_day))
