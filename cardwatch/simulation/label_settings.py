"""When fraud becomes known in a simulated world, how much of it, and how often a label is wrong."""

from __future__ import annotations

from math import erf, log, sqrt
from typing import Final

from msgspec import Struct

from cardwatch.simulation.selection import SelectionSettings

DayRange = tuple[float, float]
"""Least and largest number of days. A delay within them is log-uniform: its logarithm is uniform, so that the median is
the geometric mean of both ends, and most delays are nearer to the least."""

CUSTOMER_SHARE: Final = 0.55
"""Share of frauds that the customer reports, in 0..1."""
CHARGEBACK_SHARE: Final = 0.35
"""Share of frauds that become known by a chargeback, in 0..1. An investigator finds the others."""
LATE_PROBABILITY: Final = 0.01
"""Probability that a report is late, except for a chargeback with days of its own."""
LATE_DAYS: Final = (5.0, 8.9)
"""Least and largest delay of a late report, in days."""
CLIPPED_DAYS: Final = (0.05, 4.95)
"""Least and largest delay of a report that is not late, in days."""
CUSTOMER_LOG_MEAN: Final = -0.1
"""Mean of the logarithm of a customer's delay in days: half of the customers report within 0.9 days."""
CUSTOMER_LOG_DEVIATION: Final = 0.7
"""Standard deviation of the logarithm of a customer's delay in days."""
CHARGEBACK_DAYS: Final = (2.0, 4.95)
"""Least and largest delay of a chargeback without days of its own, uniform."""
INVESTIGATOR_DAYS: Final = (0.1, 1.8)
"""Least and largest delay of an investigator's label, uniform."""

_MATURE_SHARE: Final = 0.99
"""Share of the reports that has arrived when labels count as complete."""
_ROUNDING: Final = 1e-9
_LARGEST_DAYS: Final = 1_000.0
"""Upper limit of a delay in days. It bounds the labels that a simulation remembers."""


class LabelSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How labels arrive. Without arguments all fraud is reported, almost all of it within five days, without mistakes.

    Days are counted from the transaction, and ranges of days are log-uniform, see `DayRange`. `chargeback_days`: delay
    of a chargeback, None for 2 to 4.95 uniform; a bank sees 30 to 120. `friendly_fraud_days`: delay of a holder's
    dispute of the own purchase, None for that of other chargebacks. `days_ratio` multiplies all ranges of days, so that
    a short simulation can have the same tails.

    `unreported_share`: share of fraud that nobody reports. `false_report_share`: share of genuine transactions that a
    customer reports by mistake. `false_clearance_share`: share of the reported fraud that an investigator calls genuine
    by mistake. `corrected_share`: share of these mistakes for which a correct label follows, `correction_days` after
    the wrong one. Friendly fraud is always disputed and never cleared, because the bank cannot tell it from fraud.

    `selection`: what becomes known of transactions that were challenged or declined, where the simulation is told of
    decisions. None: labels do not depend on decisions; all are those of approved transactions.
    """

    chargeback_days: DayRange | None = None
    friendly_fraud_days: DayRange | None = None
    days_ratio: float = 1.0
    unreported_share: float = 0.0
    false_report_share: float = 0.0
    false_clearance_share: float = 0.0
    corrected_share: float = 0.0
    correction_days: DayRange = (5.0, 30.0)
    selection: SelectionSettings | None = None

    def __post_init__(self) -> None:
        """Raise `ValueError`, naming the field, if a value is out of range."""
        for field in ("unreported_share", "false_report_share", "false_clearance_share", "corrected_share"):
            if not 0.0 <= (share := getattr(self, field)) <= 1.0:
                raise ValueError(f"{field}={share} must lie in 0..1")
        if not 0.0 < self.days_ratio <= 1.0:
            raise ValueError(f"days_ratio={self.days_ratio} must be above 0, and at most 1")
        for field in ("chargeback_days", "friendly_fraud_days", "correction_days"):
            if (days := getattr(self, field)) is None:
                continue
            if not 0.0 < days[0] <= days[1] <= _LARGEST_DAYS:
                raise ValueError(
                    f"{field}={list(days)} must be two numbers in order, above 0, at most {_LARGEST_DAYS:g}"
                )

    @property
    def maturity_days(self) -> int:
        """Days after which 99 % of the reports of a day's fraud have arrived. Friendly fraud is not counted.

        Labels that count as complete earlier than this (`maturity_days` of the policy, `--delay-days` of
        `cardwatch evaluate`) make fraud look genuine.

        >>> LabelSettings().maturity_days, LabelSettings(chargeback_days=(30, 120)).maturity_days
        (5, 116)
        """
        days = 1
        while self._reported_within(float(days)) < _MATURE_SHARE - _ROUNDING:
            days += 1
        return days

    def scaled(self, days: DayRange) -> DayRange:
        """Return a range of days in the days of this simulation."""
        return days[0] * self.days_ratio, days[1] * self.days_ratio

    def _reported_within(self, days: float) -> float:
        """Return the share of the reports that arrive within `days` days, in 0..1."""
        late = _uniform_within(days, LATE_DAYS)

        def usual(in_time: float) -> float:
            return (1.0 - LATE_PROBABILITY) * (1.0 if days >= CLIPPED_DAYS[1] else in_time) + LATE_PROBABILITY * late

        customer = usual(0.5 * (1.0 + erf((log(days) - CUSTOMER_LOG_MEAN) / (CUSTOMER_LOG_DEVIATION * sqrt(2.0)))))
        investigator = usual(_uniform_within(days, INVESTIGATOR_DAYS))
        if self.chargeback_days is None:
            chargeback = usual(_uniform_within(days, CHARGEBACK_DAYS))
        else:
            least, most = self.scaled(self.chargeback_days)
            chargeback = _uniform_within(log(days), (log(least), log(most)))
        found = 1.0 - CUSTOMER_SHARE - CHARGEBACK_SHARE
        return CUSTOMER_SHARE * customer + CHARGEBACK_SHARE * chargeback + found * investigator


def _uniform_within(value: float, ends: tuple[float, float]) -> float:
    """Return the share of a uniform distribution between both ends that is at most `value`, in 0..1."""
    least, most = ends
    if value >= most:
        return 1.0
    return 0.0 if value <= least else (value - least) / (most - least)
