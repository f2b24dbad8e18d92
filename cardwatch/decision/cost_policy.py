"""The action with the lowest expected cost, and rules for transactions without a probability.

Costs are per transaction in minor units. Approving fraud costs its amount. A challenge annoys a genuine customer and
stops most fraud. A decline stops all fraud, but costs the margin of a genuine sale and some goodwill. So the threshold
on the probability depends on the amount: at the same probability a cup of coffee is approved and a television is
challenged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from cardwatch.events import Action
from cardwatch.features.definitions import column

ACTIONS: Final = (Action.APPROVE, Action.CHALLENGE, Action.DECLINE)
"""The order of the columns of `DecisionPolicy.expected_costs`, from the mildest action to the strictest."""

_COUNT_1H, _SMALL_COUNT_1H = column("count_1h"), column("small_count_1h")
_AMOUNT, _AMOUNT_TO_MAX = column("amount"), column("amount_to_max")
_SPEED, _DISTANCE = column("speed_from_last_kmh"), column("distance_from_last_km")


_MinorUnits = Annotated[float, Meta(ge=0, le=1e12)]
_Share = Annotated[float, Meta(ge=0, le=1)]


class DecisionPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Costs of mistakes, and thresholds of the rules. Read from the policy file; the version is a hash of the values.

    Costs are at least 0 and at most 10^12 minor units, shares lie in 0..1. `rule_amount` is in major units, like the
    feature `amount`.
    """

    challenge_cost_minor: _MinorUnits = 100.0
    """Cost of challenging a genuine transaction."""
    challenge_stops_fraud: _Share = 0.9
    """Share of fraud that a challenge stops."""
    decline_cost_minor: _MinorUnits = 500.0
    """Cost of declining a genuine transaction, apart from the lost margin."""
    lost_margin: _Share = 0.05
    """Share of the amount that is lost when a genuine transaction is declined."""
    rule_speed_kmh: float = 1_000.0
    rule_distance_km: float = 500.0
    rule_count_1h: float = 8.0
    rule_small_count_1h: float = 3.0
    rule_amount: float = 1_000.0
    rule_amount_to_max: float = 3.0

    @property
    def version(self) -> str:
        """The first 12 hexadecimal digits of a hash over all values."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:12]

    def expected_costs(
        self, probabilities: NDArray[np.float64], amounts_minor: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the expected cost of each action in minor units, float64 [n, 3], in the order of `ACTIONS`."""
        from cardwatch.decision.expected_costs import expected_costs  # noqa: PLC0415 (numba is slow to import)

        costs = np.empty((len(probabilities), len(ACTIONS)), np.float64)
        expected_costs(probabilities, amounts_minor, *self.costs, costs)
        return costs

    def decide(self, probabilities: NDArray[np.float64], amounts_minor: NDArray[np.float64]) -> list[Action]:
        """Return the action with the lowest expected cost for each transaction, on ties the milder one.

        >>> DecisionPolicy().decide(np.array([0.001, 0.02, 0.9]), np.array([10_000.0, 10_000.0, 10_000.0]))
        [<Action.APPROVE: 'approve'>, <Action.CHALLENGE: 'challenge'>, <Action.DECLINE: 'decline'>]
        """
        from cardwatch.decision.expected_costs import cheapest_actions  # noqa: PLC0415 (as above)

        choices = np.empty(len(probabilities), np.int64)
        cheapest_actions(probabilities, amounts_minor, *self.costs, choices)
        return [ACTIONS[choice] for choice in choices.tolist()]

    @property
    def costs(self) -> tuple[float, float, float, float]:
        """The costs that compiled functions take, as floats: for integers of a file they would be compiled again."""
        return (
            float(self.challenge_stops_fraud),
            float(self.challenge_cost_minor),
            float(self.decline_cost_minor),
            float(self.lost_margin),
        )

    def alarming_probabilities(self, amounts_minor: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability below which a transaction of each amount is certainly approved, float64 [n].

        At that probability approving costs as much as challenging or declining, less a billionth for rounding. Scorers
        compute reasons for the rows above it only.
        """
        stopped = amounts_minor * self.challenge_stops_fraud
        declining = self.decline_cost_minor + self.lost_margin * amounts_minor
        with np.errstate(divide="ignore", invalid="ignore"):
            challenge_from = self.challenge_cost_minor / (stopped + self.challenge_cost_minor)
            decline_from = declining / (amounts_minor + declining)
        return np.nan_to_num(np.minimum(challenge_from, decline_from), nan=0.0) * (1.0 - 1e-9)

    def decide_by_rules(self, features: NDArray[np.float32]) -> tuple[list[Action], list[list[str]]]:
        """Return actions and reasons without a model, from float32 [n, features]. Rules challenge but never decline."""
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
    policy: DecisionPolicy, actions: Sequence[Action], is_fraud: NDArray[np.bool_], amounts_minor: NDArray[np.float64]
) -> float:
    """Return the total cost of these actions in minor units, given which transactions were fraud."""
    costs = policy.expected_costs(is_fraud.astype(np.float64), amounts_minor)
    chosen = np.array([ACTIONS.index(action) for action in actions], np.int64)
    return float(np.take_along_axis(costs, chosen[:, None], axis=1).sum())
