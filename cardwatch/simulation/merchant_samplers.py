"""Samplers of the merchants that trade on a day: by city, online, for cash, and as targets of fraud."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cardwatch.simulation.categories import FRAUD_WEIGHTS, MERCHANT_TYPES, MerchantType
from cardwatch.simulation.transaction_array import Ints
from cardwatch.simulation.weighted_sampler import WeightedSampler


class CategorySamplers(NamedTuple):
    """Samplers of the merchants of a category, and of the other merchants of its type; `is_local`: by city."""

    category: WeightedSampler
    others: WeightedSampler
    is_local: bool


class MerchantSamplers:
    """Samplers of merchants by popularity, each made when it is first used.

    The arguments are columns over the merchants; `weight` is 0 for those that nobody can use now, and the samplers hold
    for as long as that is true. `opens_on_rest_days` tells which shops are open on Sundays and public holidays.
    """

    def __init__(
        self,
        *,
        merchant_type: Ints,
        category: Ints,
        city: Ints,
        country: Ints,
        weight: NDArray[np.float64],
        opens_on_rest_days: NDArray[np.bool_],
    ) -> None:
        self._type, self._category, self._city, self._country = merchant_type, category, city, country
        self._weight, self._opens_on_rest_days = weight, opens_on_rest_days
        self._one_group = np.zeros(len(weight), dtype=np.int64)

    def _of_type(self, merchant_type: MerchantType) -> NDArray[np.float64]:
        return np.where(self._type == merchant_type, self._weight, 0.0)

    @cached_property
    def shops(self) -> WeightedSampler:
        """The shops of each city."""
        return WeightedSampler(self._of_type(MerchantType.SHOP), self._city)

    @cached_property
    def shops_on_rest_days(self) -> WeightedSampler:
        """The shops of each city that are open on Sundays and public holidays."""
        return WeightedSampler(self._of_type(MerchantType.SHOP) * self._opens_on_rest_days, self._city)

    @cached_property
    def cash_machines(self) -> WeightedSampler:
        """The cash machines of each city."""
        return WeightedSampler((self._type == MerchantType.ATM).astype(np.float64), self._city)

    @cached_property
    def online(self) -> WeightedSampler:
        """The online merchants of all countries."""
        return WeightedSampler(self._of_type(MerchantType.ONLINE), self._one_group)

    @cached_property
    def online_by_country(self) -> WeightedSampler:
        """The online merchants of each country."""
        return WeightedSampler(self._of_type(MerchantType.ONLINE), self._country)

    @cached_property
    def subscriptions(self) -> WeightedSampler:
        """The merchants that charge cards every month."""
        return WeightedSampler(self._of_type(MerchantType.SUBSCRIPTION), self._one_group)

    @cached_property
    def target_shops(self) -> WeightedSampler:
        """The shops of each city, those first that sell what is easy to resell."""
        return WeightedSampler(self._as_target(MerchantType.SHOP), self._city)

    @cached_property
    def target_online(self) -> WeightedSampler:
        """The online merchants, those first that sell what is easy to resell."""
        return WeightedSampler(self._as_target(MerchantType.ONLINE), self._one_group)

    def _as_target(self, merchant_type: MerchantType) -> NDArray[np.float64]:
        # Fraudsters go to small merchants nearly as often as to large ones.
        return FRAUD_WEIGHTS[self._category] * self._of_type(merchant_type) ** 0.3 * (self._weight > 0.0)

    def of_category(self, category: int, *, is_rest_day: bool) -> CategorySamplers:
        """Return the samplers of a category of shops or online merchants, by its position in `CATEGORIES`."""
        merchant_type = MerchantType(MERCHANT_TYPES[category])
        is_local = merchant_type is MerchantType.SHOP
        weight = self._of_type(merchant_type)
        if is_local and is_rest_day:
            weight = weight * self._opens_on_rest_days
        groups = self._city if is_local else self._one_group
        is_member = self._category == category
        return CategorySamplers(
            WeightedSampler(np.where(is_member, weight, 0.0), groups),
            WeightedSampler(np.where(is_member, 0.0, weight), groups),
            is_local,
        )
