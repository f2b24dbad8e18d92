"""The change of the world: how people spend before and after. Its fraud is `fraud.RelayRing`."""

from __future__ import annotations

from typing import Final

from msgspec import Struct


class Regime(Struct, frozen=True, kw_only=True):
    """How people spend in these times, against the habits they were born with.

    `ecommerce_ratio` multiplies the part of shopping that is online, `amount_ratio` every amount;
    `hours_later` is how much later in the day people shop. `newcomers`: online merchants that hardly existed
    have become popular. `old_fraud_ratio` and `ring_share` say what fraudsters do: how much is left of the
    old kinds, and which part of all transactions the new kind makes up.
    """

    ecommerce_ratio: float = 1.0
    amount_ratio: float = 1.0
    hours_later: float = 0.0
    newcomers: bool = False
    old_fraud_ratio: float = 1.0
    ring_share: float = 0.0


ORDINARY: Final = Regime()
CHANGED: Final = Regime(
    ecommerce_ratio=1.3,
    amount_ratio=1.25,
    hours_later=1.0,
    newcomers=True,
    old_fraud_ratio=0.8,
    ring_share=0.0028,
)
