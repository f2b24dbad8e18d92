"""What all typologies of fraud share: how many campaigns there are, and who strikes on a day."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import count
from typing import ClassVar, Final

import numpy as np

from cardwatch.simulation.fraud.campaign import Campaign
from cardwatch.simulation.fraud.reactions import FraudGroup, FraudGroups
from cardwatch.simulation.population import Population
from cardwatch.simulation.random_streams import RandomStream
from cardwatch.simulation.transaction_array import DAY_MS, Ints, TransactionArray, Typology, empty_transactions

_MAX_DAYS_DUE: Final = 7.0
"""Days after which incidents lapse for which no campaign was ready."""
_NIGHT_SHARE: Final = 0.2
"""Share of campaigns that work between 0:00 and 6:00 UTC, while cardholders sleep."""


class Attack(ABC):
    """One typology. An incident is one or more transactions, usually with one card; a campaign is many incidents.

    `share`: share of the typology in all fraud before a change; `mean_size`: expected transactions of an incident;
    `campaign_days`: least and largest duration; `campaign_incidents`: expected incidents of a campaign per day, from
    which follows how many campaigns there are at a time. `reacts`: whether its groups try other tactics after a
    decline; `keeps_merchants`: whether they cannot do without the campaign's merchants.
    """

    typology: ClassVar[Typology]
    stream: ClassVar[RandomStream]
    share: ClassVar[float]
    mean_size: ClassVar[float]
    campaign_days: ClassVar[tuple[int, int]] = (5, 14)
    campaign_incidents: ClassVar[float] = 1.0
    reacts: ClassVar[bool] = True
    keeps_merchants: ClassVar[bool] = False

    def __init__(self) -> None:
        self._groups: FraudGroups | None = None
        self._campaigns: list[Campaign] = []
        self._due = 0.0

    def let_react(self, groups: FraudGroups) -> None:
        """Let its groups use what they have learned from declines."""
        if self.reacts:
            self._groups = groups

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
            self._of_campaign(population, rng, campaign, day, campaign.starts(rng, start_ms, times))
            for campaign, times in zip(ready, struck.tolist(), strict=True)
            if times
        ]
        return np.concatenate(made) if made else empty_transactions()

    def observe(
        self,
        population: Population,
        rng: np.random.Generator,
        campaign: Campaign,
        day: int,
        genuine: TransactionArray,
    ) -> None:
        """Let a campaign see the day's genuine transactions before its incidents: it copies cards during a breach."""
        campaign.copy_cards(day, genuine)

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
            first_day, group = day - begun, self._free_group()
            campaign = Campaign(next_number(), group, first_day, first_day + days - 1, self.usual_hour(rng))
            self.equip(population, rng, campaign)
            self._campaigns.append(campaign)

    def _of_campaign(
        self, population: Population, rng: np.random.Generator, campaign: Campaign, day: int, starts: Ints
    ) -> TransactionArray:
        group = None if self._groups is None else self._groups.reacting(self.typology, campaign.group)
        if group is None:
            transactions = self.incidents(population, rng, campaign, starts)
        else:
            made = (self._by_tactic(population, rng, campaign, group, start) for start in starts[:, np.newaxis])
            transactions = np.concatenate(list(made))
        transactions["typology"] = self.typology
        transactions["campaign"], transactions["group"] = campaign.number, campaign.group
        days_later = (transactions["occurred_at_ms"] - starts.min()) // DAY_MS
        transactions["campaign_day"] = day - campaign.first_day + days_later
        return transactions

    def _by_tactic(
        self, population: Population, rng: np.random.Generator, campaign: Campaign, group: FraudGroup, start: Ints
    ) -> TransactionArray:
        """Return the transactions of one incident, by a tactic that the group chooses for it."""
        tactic = group.choose(rng)
        incident = self.incidents(population, rng, campaign, start)
        group.carry_out(population, rng, tactic, incident, int(start[0]), keeps_merchants=self.keeps_merchants)
        return incident

    def _free_group(self) -> int:
        """Return the first group that has no campaign."""
        busy = {campaign.group for campaign in self._campaigns}
        return next(group for group in count() if group not in busy)
