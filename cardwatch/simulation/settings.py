"""What a simulated world is made from."""

from __future__ import annotations

from datetime import date

from msgspec import Struct

from cardwatch.errors import Misconfigured


class SimulationSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole description of a world: equal settings give equal events.

    `fraud_share` is the part of all transactions that is fraud before the change, in the long run.
    `change_day` counts from `first_day`, which is day 0; from then on there is a kind of fraud never seen
    before, and people spend otherwise than they used to. None: the world stays as it is.
    """

    seed: int
    cards: int = 2_000
    merchants: int = 1_200
    first_day: date = date(2025, 1, 6)
    fraud_share: float = 0.003
    change_day: int | None = None

    def __post_init__(self) -> None:
        """Raise `Misconfigured`, naming the field, if no world can be made of this."""
        for field, least in (("seed", 0), ("cards", 50), ("merchants", 200)):
            if (value := getattr(self, field)) < least:
                raise Misconfigured(f"world: {field}={value} must be at least {least}")
        if not 0 <= self.fraud_share <= 0.05:
            raise Misconfigured(f"world: fraud_share={self.fraud_share} must lie in 0..0.05")
        if self.change_day is not None and self.change_day < 0:
            raise Misconfigured(f"world: change_day={self.change_day} must not be negative")

    def has_changed(self, day: int) -> bool:
        """Whether day number `day` lies on or after the change."""
        return self.change_day is not None and day >= self.change_day
