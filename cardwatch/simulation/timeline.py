"""What changes in a simulated world, as data: new typologies, other habits, seasons, growth.

Each event has an onset, a ramp and an end, and says whether it is harmful: whether a detector that knows nothing of it
finds less. So the delay of a drift detector and its false alarms can be measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Annotated, Final

from msgspec import Meta, Struct

from cardwatch.events import MAX_AMOUNT_MINOR
from cardwatch.simulation.categories import CATEGORIES, MerchantType
from cardwatch.simulation.timeline_event import Ratio, WorldChange, refuse, require_known
from cardwatch.simulation.transaction_array import Typology

_TYPOLOGIES: Final = {each.name.lower(): each for each in Typology if each is not Typology.GENUINE}
"""The typologies by the names that files use."""
_CATEGORIES: Final = {
    category.code: position
    for position, category in enumerate(CATEGORIES)
    if category.merchant_type in (MerchantType.SHOP, MerchantType.ONLINE)
}
"""The positions of the categories of shops and online merchants, by their ISO 18245 codes."""
_DAYS_PER_YEAR: Final = 365.0
_MOST_YEARS: Final = 100.0
"""Years after which inflation ends, so that no power of it exceeds the range of numbers."""


class NewTypology(WorldChange, frozen=True, kw_only=True, tag="new_typology"):
    """More fraud of a typology, mostly of one that did not exist: `share` is its share in all transactions."""

    typology: str
    share: Annotated[float, Meta(gt=0, le=0.05)]

    def __post_init__(self) -> None:
        """Raise `ValueError` for an unknown typology, or days that contradict each other."""
        super().__post_init__()
        require_known("typology", self.typology, _TYPOLOGIES)


class FraudPrevalence(WorldChange, frozen=True, kw_only=True, tag="fraud_prevalence"):
    """Other amounts of the fraud that there is: `ratio` multiplies it."""

    ratio: Ratio


class SpendingShift(WorldChange, frozen=True, kw_only=True, tag="spending_shift"):
    """Other habits of cardholders, see `Regime`: a shift, or with `every_days` a season."""

    transaction_ratio: Ratio = 1.0
    ecommerce_ratio: Ratio = 1.0
    amount_ratio: Ratio = 1.0
    hours_later: Annotated[float, Meta(ge=-12, le=12)] = 0.0


class NewMerchants(WorldChange, frozen=True, kw_only=True, tag="new_merchants"):
    """Online merchants that did not exist before are popular. It has no ramp."""

    def __post_init__(self) -> None:
        """Raise `ValueError` for a ramp, which would have no effect, or days that contradict each other."""
        super().__post_init__()
        refuse(self, "ramp_days")


class CategoryGrowth(WorldChange, frozen=True, kw_only=True, tag="category_growth"):
    """Purchases in a merchant category grow: `ratio` multiplies them, at the expense of all others."""

    category: str
    ratio: Ratio

    def __post_init__(self) -> None:
        """Raise `ValueError` for a category of no shop or online merchant, or days that contradict each other."""
        super().__post_init__()
        require_known("category", self.category, _CATEGORIES)


class Inflation(WorldChange, frozen=True, kw_only=True, tag="inflation"):
    """Amounts grow by `yearly` a year (0.05 is 5 %) from the onset on. It has neither ramp nor end.

    No amount exceeds the largest one of a record, and growth ends after a hundred years.
    """

    yearly: Annotated[float, Meta(ge=-0.9, le=10)]

    def __post_init__(self) -> None:
        """Raise `ValueError` for a ramp, which would have no effect, and for an end, at which all prices would fall."""
        super().__post_init__()
        refuse(self, "ramp_days", "every_days", "until_day")


TimelineEvent = NewTypology | FraudPrevalence | SpendingShift | NewMerchants | CategoryGrowth | Inflation


class Regime(Struct, frozen=True, kw_only=True):
    """Behaviour on a day, relative to the habits of each card.

    `transaction_ratio` multiplies the number of purchases, `ecommerce_ratio` the online share of them, `amount_ratio`
    every amount; `hours_later` is added to the hour of each purchase. `new_online_merchants`: merchants that were not
    used before are popular. `category_ratios` multiply the purchases in a category, by its position in `CATEGORIES`.
    `prevalence_ratio` multiplies the fraud that exists from the first day; `new_shares` are the shares in all
    transactions of further fraud.
    """

    transaction_ratio: float = 1.0
    ecommerce_ratio: float = 1.0
    amount_ratio: float = 1.0
    hours_later: float = 0.0
    new_online_merchants: bool = False
    category_ratios: dict[int, float] = {}
    prevalence_ratio: float = 1.0
    new_shares: dict[Typology, float] = {}


def regime_of(events: Sequence[TimelineEvent], day: int) -> Regime:
    """Return the behaviour on day number `day`: the effects of all events that are under way."""
    active = [(event, strength) for event in events if (strength := event.strength(day)) > 0.0]
    shifts = [(event, strength) for event, strength in active if isinstance(event, SpendingShift)]
    category_ratios: dict[int, float] = {}
    new_shares: dict[Typology, float] = {}
    for event, strength in active:
        if isinstance(event, CategoryGrowth):
            position = _CATEGORIES[event.category]
            category_ratios[position] = category_ratios.get(position, 1.0) * _faded(event.ratio, strength)
        elif isinstance(event, NewTypology):
            typology = _TYPOLOGIES[event.typology]
            new_shares[typology] = new_shares.get(typology, 0.0) + strength * event.share
    inflation = prod(
        (1.0 + event.yearly) ** min((day - event.from_day) / _DAYS_PER_YEAR, _MOST_YEARS)
        for event, _ in active
        if isinstance(event, Inflation)
    )
    return Regime(
        transaction_ratio=prod(_faded(event.transaction_ratio, strength) for event, strength in shifts),
        ecommerce_ratio=prod(_faded(event.ecommerce_ratio, strength) for event, strength in shifts),
        amount_ratio=min(inflation, MAX_AMOUNT_MINOR)
        * prod(_faded(event.amount_ratio, strength) for event, strength in shifts),
        hours_later=sum(strength * event.hours_later for event, strength in shifts),
        new_online_merchants=any(isinstance(event, NewMerchants) for event, _ in active),
        category_ratios=category_ratios,
        prevalence_ratio=prod(
            _faded(event.ratio, strength) for event, strength in active if isinstance(event, FraudPrevalence)
        ),
        new_shares=new_shares,
    )


def change_of_the_demo(day: int) -> tuple[TimelineEvent, ...]:
    """Return the change of the demo on day number `day`: the relay attack, and other spending."""
    return (
        NewTypology(name="relay attack", from_day=day, is_harmful=True, typology="relay_attack", share=0.0028),
        FraudPrevalence(name="fewer of the older attacks", from_day=day, is_harmful=False, ratio=0.8),
        SpendingShift(
            name="more and later spending online",
            from_day=day,
            is_harmful=True,
            ecommerce_ratio=1.3,
            amount_ratio=1.25,
            hours_later=1.0,
        ),
        NewMerchants(name="new online merchants", from_day=day, is_harmful=True),
    )


def _faded(ratio: float, strength: float) -> float:
    return 1.0 + strength * (ratio - 1.0)
