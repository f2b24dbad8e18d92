"""How cardholders and fraudsters behave before and after the change."""

from __future__ import annotations

from typing import Final

from msgspec import Struct


class Regime(Struct, frozen=True, kw_only=True):
    """Behaviour of a period, relative to the habits of each card.

    `ecommerce_ratio` multiplies the online share of purchases, `amount_ratio` every amount; `hours_later` is added to
    the hour of each purchase. `new_online_merchants`: merchants that were not used before the change are popular.
    `initial_attack_ratio` multiplies the fraud of the initial attacks; `relay_attack_share` is the share of relay
    attacks in all transactions.
    """

    ecommerce_ratio: float = 1.0
    amount_ratio: float = 1.0
    hours_later: float = 0.0
    new_online_merchants: bool = False
    initial_attack_ratio: float = 1.0
    relay_attack_share: float = 0.0


BEFORE_CHANGE: Final = Regime()
AFTER_CHANGE: Final = Regime(
    ecommerce_ratio=1.3,
    amount_ratio=1.25,
    hours_later=1.0,
    new_online_merchants=True,
    initial_attack_ratio=0.8,
    relay_attack_share=0.0028,
)
