"""What all typologies of fraud share: how many campaigns there are, and who strikes on a day."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Final

import numpy as np

from cardwatch.simulation.fraud.campaign import Campaign
from cardwatch.simulation.population import Population
from cardwatch.simulation.random_streams import RandomStream
from cardwatch.simulation.transaction_array import DAY_MS, Ints, TransactionArray, Typology, empty_transactions

_MAX_DAYS_DUE: Final = 7.0
"""Days after which incidents lapse for which no campaign was ready."""
_NIGHT_SHARE: Final = 0.4
"""Share of campaigns that work between 0:00 and 6:00 UTC, while cardholders sleep."""


class Attack(ABC):
    """One typology. An incident is one or more transactions, usually with one card; a campaign is many incidents.

    `share`: share of the typology in all fraud before a change; `mean_size`: expected transactions of an incident;
    `campaign_days`: least and largest duration; `campaign_incidents`: expected incidents of a campaign per day, from
    which follows how many campaigns there are at a time.
    """

    typology: ClassVar[Typology]
    stream: ClassVar[RandomStream]
    share: ClassVar[float]
    mean_size: ClassVar[float]
    campaign_days: ClassVar[tuple[int, int]] = (5, 14)
    campaign_incidents: ClassVar[float] = 1.0

    def __init__(self) -> None:
        self._campaigns: list[Campaign] = []
        self._due = 0.0

    def day(
        self,
        population: Population,
        rng: np.random.Generator,
        day: int,
        start_ms: int,
        transactions_per_day: float,
        genuine: TransactionArray,
        next_number: Callable[[], int],
    ) -> TransactionArray:
        """Return the transactions of the incidents that start on this day; some of them lie on later days.

        `transactions_per_day` is what the typology should have, `genuine` the day's genuine transactions, `next_number`
        gives the numbers of new campaigns.
        """
        per_day = transactions_per_day / self.mean_size
        self._due = min(self._due + per_day, max(_MAX_DAYS_DUE * per_day, 2.0))
        self._replace_campaigns(population, rng, day, per_day, next_number)
        for campaign in self._campaigns:
            self.observe(population, rng, campaign, day, genuine)
        ready = [campaign for campaign in self._campaigns if campaign.can_strike(day)]
        incidents = int(self._due)
        if not ready or not incidents:
            return empty_transactions()
        self._due -= incidents
        struck = np.bincount(rng.integers(0, len(ready), incidents), minlength=len(ready))
        made = [
            self._of_campaign(population, rng, campaign, day, campaign.starts(rng, start_ms, int(count)))
            for campaign, count in zip(ready, struck.tolist(), strict=True)
            if count
        ]
        return np.concatenate(made) if made else empty_transactions()

    def observe(  # noqa: B027 (most campaigns collect nothing)
        self,
        population: Population,
        rng: np.random.Generator,
        campaign: Campaign,
        day: int,
        genuine: TransactionArray,
    ) -> None:
        """Let a campaign see the day's genuine transactions, before its incidents."""

    @abstractmethod
    def equip(self, population: Population, rng: np.random.Generator, campaign: Campaign) -> None:
        """Give a new campaign its tools."""

    @abstractmethod
    def incidents(
        self, population: Population, rng: np.random.Generator, campaign: Campaign, starts: Ints
    ) -> TransactionArray:
        """Return the transactions of incidents at these times; fewer if the campaign finds no card."""

    def usual_hour(self, rng: np.random.Generator) -> float:
        """Return the usual hour of a new campaign's incidents."""
        return float(rng.uniform(0.0, 6.0) if rng.random() < _NIGHT_SHARE else rng.uniform(0.0, 24.0))

    def _replace_campaigns(
        self, population: Population, rng: np.random.Generator, day: int, per_day: float, next_number: Callable[[], int]
    ) -> None:
        is_first = not self._campaigns and day == 0
        self._campaigns = [campaign for campaign in self._campaigns if campaign.last_day >= day]
        wanted = 0 if per_day <= 0.0 else max(1, round(per_day / self.campaign_incidents))
        while len(self._campaigns) < wanted:
            days = int(rng.integers(self.campaign_days[0], self.campaign_days[1] + 1))
            # The campaigns of the first day have begun before it, so that they do not all end together.
            begun = int(rng.integers(0, days)) if is_first else 0
            campaign = Campaign(next_number(), day - begun, day - begun + days - 1, self.usual_hour(rng))
            self.equip(population, rng, campaign)
            self._campaigns.append(campaign)

    def _of_campaign(
        self, population: Population, rng: np.random.Generator, campaign: Campaign, day: int, starts: Ints
    ) -> TransactionArray:
        transactions = self.incidents(population, rng, campaign, starts)
        transactions["typology"] = self.typology
        transactions["campaign"] = campaign.number
        days_later = (transactions["occurred_at_ms"] - starts.min()) // DAY_MS
        transactions["campaign_day"] = day - campaign.first_day + days_later
        return transactions
