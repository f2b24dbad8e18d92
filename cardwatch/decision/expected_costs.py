"""The expected costs of the three actions, compiled; see `cardwatch.decision.cost_policy`.

Costs are passed as rows of `DecisionPolicy.costs`, one for each channel. The policy does not import this module until
it decides: a process that only reads the policy file needs no numba, which takes a third of a second to import.
"""

from __future__ import annotations

from cardwatch.compiled import compiled

# Columns of a row of costs. An action that is not feasible has an infinite fixed cost, so it is never the cheapest.
APPROVED_LOSS, APPROVED_FEE, CHALLENGED_LOSS, CHALLENGE_FRICTION, CHALLENGE_FIXED = range(5)
DECLINE_FRICTION, LOST_MARGIN, DECLINE_FIXED = range(5, 8)


@compiled
def _costs_of(probability, amount_minor, costs):  # type: ignore[no-untyped-def]
    fraud_minor = probability * amount_minor
    genuine = 1.0 - probability
    approve = fraud_minor * costs[APPROVED_LOSS] + probability * costs[APPROVED_FEE]
    challenge = fraud_minor * costs[CHALLENGED_LOSS] + genuine * costs[CHALLENGE_FRICTION] + costs[CHALLENGE_FIXED]
    decline = genuine * (costs[DECLINE_FRICTION] + costs[LOST_MARGIN] * amount_minor) + costs[DECLINE_FIXED]
    return approve, challenge, decline


@compiled
def expected_costs(probabilities, amounts_minor, channels, costs, expected):  # type: ignore[no-untyped-def]
    """Write the expected cost of each action, in the order of `ACTIONS`, to `expected`, float64 [n, 3]."""
    for i in range(len(probabilities)):
        expected[i, 0], expected[i, 1], expected[i, 2] = _costs_of(
            probabilities[i], amounts_minor[i], costs[channels[i]]
        )


@compiled
def cheapest_actions(probabilities, amounts_minor, channels, costs, choices):  # type: ignore[no-untyped-def]
    """Write the `cheapest_action` of each transaction to `choices`, int64 [n]."""
    for i in range(len(probabilities)):
        choices[i] = cheapest_action(probabilities[i], amounts_minor[i], costs[channels[i]])


@compiled
def cheapest_action(probability, amount_minor, costs):  # type: ignore[no-untyped-def]
    """Return the index in `ACTIONS` of the action with the lowest expected cost, on ties of the milder one."""
    approve, challenge, decline = _costs_of(probability, amount_minor, costs)
    if approve <= challenge and approve <= decline:
        return 0
    return 1 if challenge <= decline else 2
