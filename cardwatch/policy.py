"""From a probability to an action: the cheapest one in expectation, and rules for when there is no probability.

Costs are per transaction in minor units. Approving fraud costs its amount. A challenge annoys a genuine customer, and
stops most fraud. A decline stops all fraud, but costs the margin of a genuine sale and some goodwill. So the
threshold moves with the amount, as it should: a doubtful cup of coffee goes through, a doubtful television is
challenged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.events import Action
from cardwatch.features.table import column

ACTIONS: Final = (Action.APPROVE, Action.CHALLENGE, Action.DECLINE)

_COUNT_1H, _SMALL_COUNT_1H = column("count_1h"), column("small_count_1h")
_AMOUNT, _AMOUNT_TO_MAX = column("amount"), column("amount_to_max")
_SPEED, _DISTANCE = column("speed_from_last_kmh"), column("distance_from_last_km")


class DecisionPolicy(Struct, frozen=True, kw_only=True):
    """What mistakes cost, and when the rules speak. Read from the policy file; the version is a hash of the values."""

    challenge_cost_minor: float = 100.0
    challenge_stops_fraud: float = 0.9
    decline_cost_minor: float = 500.0
    lost_margin: float = 0.05
    reasons_above: float = 0.01
    rule_speed_kmh: float = 1_000.0
    rule_distance_km: float = 500.0
    rule_count_1h: float = 8.0
    rule_small_count_1h: float = 3.0
    rule_amount: float = 1_000.0
    rule_amount_to_max: float = 3.0

    @property
    def version(self) -> str:
        """Changes whenever a value does."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:12]

    def expected_costs(
        self, probabilities: NDArray[np.float64], amounts_minor: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Expected cost in minor units, float64 [n, 3], of approving, challenging and declining each transaction."""
        fraud_minor = probabilities * amounts_minor
        genuine = 1.0 - probabilities
        return np.stack(
            [
                fraud_minor,
                fraud_minor * (1.0 - self.challenge_stops_fraud) + genuine * self.challenge_cost_minor,
                genuine * (self.decline_cost_minor + self.lost_margin * amounts_minor),
            ],
            axis=-1,
        )

    def decide(self, probabilities: NDArray[np.float64], amounts_minor: NDArray[np.float64]) -> list[Action]:
        """The cheapest action for each transaction; of two equally cheap ones the milder."""
        return [ACTIONS[choice] for choice in np.argmin(self.expected_costs(probabilities, amounts_minor), axis=-1)]

    def decide_by_rules(self, features: NDArray[np.float32]) -> tuple[list[Action], list[list[str]]]:
        """Actions and reasons without a model, from float32 [n, features]. Rules challenge, they never decline."""
        with np.errstate(invalid="ignore"):
            fired = {
                "RULE_SPEED": (features[:, _SPEED] > self.rule_speed_kmh)
                & (features[:, _DISTANCE] > self.rule_distance_km),
                "RULE_VELOCITY": features[:, _COUNT_1H] >= self.rule_count_1h,
                "RULE_CARD_TESTING": features[:, _SMALL_COUNT_1H] >= self.rule_small_count_1h,
                "RULE_AMOUNT": (features[:, _AMOUNT] >= self.rule_amount)
                & (features[:, _AMOUNT_TO_MAX] > self.rule_amount_to_max),
            }
        reasons = [[code for code, hits in fired.items() if hits[i]] for i in range(len(features))]
        return [Action.CHALLENGE if codes else Action.APPROVE for codes in reasons], reasons


def incurred_cost_minor(
    policy: DecisionPolicy,
    actions: Sequence[Action],
    is_fraud: NDArray[np.bool_],
    amounts_minor: NDArray[np.float64],
) -> float:
    """What these actions cost in hindsight, in minor units: `expected_costs` with the truth as the probability."""
    costs = policy.expected_costs(is_fraud.astype(np.float64), amounts_minor)
    chosen = np.array([ACTIONS.index(action) for action in actions], np.int64)
    return float(np.take_along_axis(costs, chosen[:, None], axis=1).sum())
