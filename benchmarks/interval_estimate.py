"""An estimate with its interval, as the tables of the documentation show it."""

from __future__ import annotations

from msgspec import Struct


class IntervalEstimate(Struct, frozen=True, kw_only=True):
    """An estimate, with the ends of its 95 % interval in the same unit. Ends that cannot be estimated are NaN."""

    value: float
    low: float
    high: float

    def shown(self, form: str) -> str:
        """Return the estimate and its interval as text; `form` is a format such as `.2f`."""
        return f"{self.value:{form}} ({self.low:{form}} to {self.high:{form}})"
