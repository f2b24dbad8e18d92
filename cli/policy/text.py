"""Output of the commands of `cardwatch policy`, as text."""

from __future__ import annotations

from collections import Counter

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from cardwatch.decision.alert_capacity import alert_price_minor, savings_of_alerts
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.decision.exploration_price import exploration_price
from cardwatch.decision.overlay_rules import evaluate_rules
from cardwatch.events import Action
from cli.policy.decided_rows import DecidedRows


def report_lines(policy: DecisionPolicy, rows: DecidedRows) -> list[str]:
    """Return what the policy would have done with these rows."""
    actions = policy.decide(rows.probabilities, rows.amounts_minor, rows.channels)
    overlays = evaluate_rules(policy.rules, rows.features, rows.transactions, policy.challenge_channels)
    by_action = Counter(actions)
    lines = [_about(rows)]
    lines += [f"{action.value} by costs: {by_action[action] / rows.days:,.1f} a day" for action in Action]
    hits = Counter(reason for overlay in overlays.values() for reason in overlay.reasons)
    stricter = Counter(
        reason for row, overlay in overlays.items() if actions[row] is Action.APPROVE for reason in overlay.reasons
    )
    lines += [
        f"{rule.reason}: {hits[rule.reason] / rows.days:,.1f} a day,"
        f" of which costs alone would approve {stricter[rule.reason] / rows.days:,.1f}"
        for rule in policy.rules
    ]
    price = exploration_price(policy, rows.probabilities, rows.amounts_minor, rows.channels, rows.propensities)
    lines.append(
        f"control share: {price.rows:,} approved, expected loss {_money(policy, price.fraud_minor)},"
        f" price of exploration {_money(policy, price.price_minor)}"
    )
    return lines


def capacity_lines(policy: DecisionPolicy, rows: DecidedRows, alerts_a_day: int) -> list[str]:
    """Return the price of an alert for this capacity, as a line of the policy file and with its consequences."""
    by_rules = np.zeros(len(rows.channels), np.bool_)
    by_rules[list(evaluate_rules(policy.rules, rows.features, rows.transactions, policy.challenge_channels))] = True
    left = max(alerts_a_day * rows.days - int(by_rules.sum()), 0)
    savings = savings_of_alerts(policy, rows.probabilities, rows.amounts_minor, rows.channels)
    price = alert_price_minor(savings[~by_rules], left)
    free, priced = (structs.replace(policy, alert_price_minor=value) for value in (0.0, price))
    return [
        _about(rows),
        f"alerts a day: {_alerts_a_day(free, rows, by_rules):,.1f} at no price,"
        f" {_alerts_a_day(priced, rows, by_rules):,.1f} at this one;"
        f" rules of the policy file raise {by_rules.sum() / rows.days:,.1f} of them",
        f"alert_price_minor = {price!r}",
    ]


def _about(rows: DecidedRows) -> str:
    return (
        f"{len(rows.transactions):,} decisions of the model on {rows.days} days; {rows.left_out:,} others are left out"
    )


def _alerts_a_day(policy: DecisionPolicy, rows: DecidedRows, by_rules: NDArray[np.bool_]) -> float:
    actions = policy.decide(rows.probabilities, rows.amounts_minor, rows.channels)
    alerts = np.array([action is not Action.APPROVE for action in actions]) | by_rules
    return float(alerts.sum() / rows.days)


def _money(policy: DecisionPolicy, minor: float) -> str:
    return f"{minor:,.0f} minor units" + (f" of {policy.currency}" if policy.currency else "")
