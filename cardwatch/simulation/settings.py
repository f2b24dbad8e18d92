"""The settings of a simulation."""

from __future__ import annotations

from datetime import date

from msgspec import Struct

from cardwatch.errors import Misconfigured


class SimulationSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of a simulation: equal settings give equal events.

    `fraud_share` is the expected share of fraud in all transactions before the change, in 0..0.05. `change_day` is the
    number of the day, counted from `first_day` as 0, from which relay attacks occur and spending habits differ. None:
    there is no change.
    """

    seed: int
    cards: int = 2_000
    merchants: int = 1_200
    first_day: date = date(2025, 1, 6)
    fraud_share: float = 0.003
    change_day: int | None = None

    def __post_init__(self) -> None:
        """Raise `Misconfigured`, naming the field, if a value is out of range."""
        for field, least in (("seed", 0), ("cards", 50), ("merchants", 200)):
            if (value := getattr(self, field)) < least:
                raise Misconfigured(f"world: {field}={value} must be at least {least}")
        if not 0 <= self.fraud_share <= 0.05:
            raise Misconfigured(f"world: fraud_share={self.fraud_share} must lie in 0..0.05")
        if self.change_day is not None and self.change_day < 0:
            raise Misconfigured(f"world: change_day={self.change_day} must not be negative")

    def has_changed(self, day: int) -> bool:
        """Return whether day number `day` is on or after the change."""
        return self.change_day is not None and day >= self.change_day
