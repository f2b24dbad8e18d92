"""The expected costs of the three actions, compiled; see `cardwatch.decision.cost_policy`.

Costs are passed as `DecisionPolicy.costs`. The policy does not import this module until it decides: a process that only
reads the policy file needs no numba, which takes a third of a second to import.
"""

from __future__ import annotations

from cardwatch.compiled import compiled


@compiled
def _costs_of(probability, amount_minor, stops, challenge_cost, decline_cost, lost_margin):  # type: ignore[no-untyped-def]
    fraud_minor = probability * amount_minor
    genuine = 1.0 - probability
    challenge = fraud_minor * (1.0 - stops) + genuine * challenge_cost
    return fraud_minor, challenge, genuine * (decline_cost + lost_margin * amount_minor)


@compiled
def expected_costs(probabilities, amounts_minor, stops, challenge_cost, decline_cost, lost_margin, costs):  # type: ignore[no-untyped-def]
    """Write the expected cost of each action, in the order of `ACTIONS`, to `costs`, float64 [n, 3]."""
    for i in range(len(probabilities)):
        costs[i, 0], costs[i, 1], costs[i, 2] = _costs_of(
            probabilities[i], amounts_minor[i], stops, challenge_cost, decline_cost, lost_margin
        )


@compiled
def cheapest_actions(probabilities, amounts_minor, stops, challenge_cost, decline_cost, lost_margin, choices):  # type: ignore[no-untyped-def]
    """Write the `cheapest_action` of each transaction to `choices`, int64 [n]."""
    for i in range(len(probabilities)):
        choices[i] = cheapest_action(
            probabilities[i], amounts_minor[i], stops, challenge_cost, decline_cost, lost_margin
        )


@compiled
def cheapest_action(probability, amount_minor, stops, challenge_cost, decline_cost, lost_margin):  # type: ignore[no-untyped-def]
    """Return the index in `ACTIONS` of the action with the lowest expected cost, on ties of the milder one."""
    approve, challenge, decline = _costs_of(probability, amount_minor, stops, challenge_cost, decline_cost, lost_margin)
    if approve <= challenge and approve <= decline:
        return 0
    return 1 if challenge <= decline else 2
