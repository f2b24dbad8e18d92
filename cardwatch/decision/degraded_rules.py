"""The rules that decide without a probability, as data: which features they compare, and with which limits."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cardwatch.features.definitions import column


class RuleTerm(NamedTuple):
    """One comparison of a rule. `limit` is a number, or the field of the policy that has it. False if it is missing."""

    feature: str
    sign: Literal[">", "≥", "="]
    limit: str | float

    def holds_for(self, features: NDArray[np.float32], limit: float) -> NDArray[np.bool_]:
        """Return where the term holds, bool [n], of features float32 [n, features], with the limit of a policy."""
        values = features[:, column(self.feature)]
        with np.errstate(invalid="ignore"):
            found: NDArray[np.bool_] = (
                values > limit if self.sign == ">" else values >= limit if self.sign == "≥" else values == limit
            )
        return found


_MERCHANT_IS_NEW: Final = RuleTerm("merchant_is_new", "=", 1.0)

DEGRADED_RULES: Final[dict[str, tuple[RuleTerm, ...]]] = {
    "RULE_SPEED": (
        RuleTerm("speed_from_last_kmh", ">", "rule_speed_kmh"),
        RuleTerm("distance_from_last_km", ">", "rule_distance_km"),
    ),
    "RULE_VELOCITY": (RuleTerm("count_1h", "≥", "rule_count_1h"),),
    "RULE_CARD_TESTING": (RuleTerm("small_count_1h", "≥", "rule_small_count_1h"),),
    "RULE_AMOUNT": (
        RuleTerm("amount", "≥", "rule_amount"),
        RuleTerm("amount_to_max", ">", "rule_amount_to_max"),
    ),
    "RULE_DEVICE": (RuleTerm("device_frauds", "≥", "rule_device_frauds"),),
    "RULE_MERCHANT": (_MERCHANT_IS_NEW, RuleTerm("merchant_risk_recent", "≥", "rule_merchant_risk")),
    "RULE_ALL_NEW": (_MERCHANT_IS_NEW, RuleTerm("device_is_new", "=", 1.0), RuleTerm("country_is_new", "=", 1.0)),
}
"""The reason code of each rule with its terms, all of which must hold; the last one can be switched off."""
