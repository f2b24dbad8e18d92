"""The plan of a demo: days, population and rates, which screen and summary refer to."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

from msgspec import Struct

CHANGE_TEXT: Final = "the population changes: a new kind of attack, other spending habits"
"""What happens on the day of the change, in the words of timeline and replay."""


class DemoPlan(Struct, frozen=True, kw_only=True):
    """The shape of a demo in simulated days (UTC), which go in step.

    `history_days` from `first_day` on train the first champion; then at most `live_days` are decided in the stream.
    The population changes at the start of `change_day`, or never. Labels of a day are complete `maturity_days` after
    its end. `challenge_stops_fraud` is that of the decision policy, and of the simulated world. At last `offered_rate`
    transactions per second are offered for a while, to measure latency.
    """

    seed: int
    cards: int
    first_day: date
    history_days: int
    live_days: int
    change_day: date | None
    maturity_days: int
    challenge_stops_fraud: float
    offered_rate: float

    @property
    def first_live_day(self) -> date:
        """The first day whose transactions are decided."""
        return self.first_day + timedelta(days=self.history_days)
