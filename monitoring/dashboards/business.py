"""What it is worth: fraud caught and missed, in payments and in money, and how many honest payments that disturbs."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.dashboards.board import Section, board, firing
from monitoring.dashboards.panels import GREEN, MONEY, RED, YELLOW, Panel, Query, number, series

_MATURED: Final = (
    "Known when a day's labels have matured, five event days later; counted over the last day of ours, which in a"
    " simulation is all of it."
)
_OUTCOMES: Final = {"caught": GREEN, "missed": RED, "false_alarm": YELLOW}
_ACTIONS: Final = {"approve": GREEN, "challenge": YELLOW, "decline": RED}
_AMOUNTS: Final = "outcome_currency:cardwatch_monitor_matured_amount_minor:increase1d"
_TRANSACTIONS: Final = "job_outcome:cardwatch_monitor_matured_transactions:increase1d"


def business() -> Dashboard:
    """How much fraud is caught, what that is worth, whom we disturb for it, what we decide."""
    return board(
        "business",
        "business",
        "Fraud caught and missed, in payments and in money, and how many honest payments that disturbs.",
        [Section("Worth", _worth()), Section("Fraud", _fraud()), Section("Decisions", _decisions())],
    )


def _worth() -> list[Panel]:
    return [
        number(
            "Fraud caught",
            f"Part of the frauds that were challenged or declined. {_MATURED} Falls when the model decays.",
            Query("job:cardwatch_monitor_fraud_caught:ratio_increase1d", "of all frauds"),
            unit="percentunit",
            runbook="model-decayed",
            steps=((None, RED), (0.5, YELLOW), (0.75, GREEN)),
            decimals=1,
        ),
        number(
            "Value saved",
            f"Part of the fraudsters' money that was challenged or declined. {_MATURED}",
            Query("currency:cardwatch_monitor_value_saved:ratio_increase1d", "{{currency}}"),
            unit="percentunit",
            runbook="model-decayed",
            steps=((None, RED), (0.6, YELLOW), (0.85, GREEN)),
            decimals=1,
        ),
        number(
            "Saved",
            f"Amounts of the frauds that were challenged or declined. {_MATURED}",
            Query(f'{_AMOUNTS}{{outcome="caught"}} / 100', "{{currency}}"),
            unit=MONEY,
            steps=((None, GREEN),),
        ),
        number(
            "Lost",
            f"Amounts of the frauds that were approved. {_MATURED}",
            Query(f'{_AMOUNTS}{{outcome="missed"}} / 100', "{{currency}}"),
            unit=MONEY,
            steps=((None, RED),),
        ),
        number(
            "Reviews a minute",
            "Payments that are challenged, each of which somebody looks at. More than people can look at means that the"
            " costs in the policy are wrong, or that a ring is at work.",
            Query('60 * job_action:cardwatch_stream_decisions:rate1m{action="challenge"}', "challenged"),
            unit="none",
            decimals=1,
        ),
        firing(),
    ]


def _fraud() -> list[Panel]:
    return [
        series(
            "What became of it, payments",
            f"Fraud that was challenged or declined is caught, what was approved is missed. {_MATURED}",
            Query(f'{_TRANSACTIONS}{{outcome!="passed"}}', "{{outcome}}"),
            unit="none",
            runbook="model-decayed",
            colours=_OUTCOMES,
        ),
        series(
            "What became of it, money",
            f"The same in amounts, each currency for itself. {_MATURED}",
            Query(f'{_AMOUNTS}{{outcome!="passed"}} / 100', "{{outcome}} {{currency}}"),
            unit=MONEY,
            runbook="model-decayed",
            colours={f"{outcome} EUR": colour for outcome, colour in _OUTCOMES.items()},
        ),
        series(
            "False alarms for each fraud caught",
            "Honest payments that were challenged or declined. It is what the cost policy buys: a rise without a change"
            f" of policy means that people spend otherwise, or that the model has decayed. {_MATURED}",
            Query(
                f'sum({_TRANSACTIONS}{{outcome="false_alarm"}}) / sum({_TRANSACTIONS}{{outcome="caught"}})',
                "false alarms",
            ),
            unit="none",
            runbook="model-decayed",
        ),
    ]


def _decisions() -> list[Panel]:
    return [
        series(
            "Challenged and declined a minute",
            "The load of those who review, and the payments that do not go through. A jump at a swap is the new"
            " champion's; without one, look for a ring, or at the part that the rules decide.",
            Query('60 * job_action:cardwatch_stream_decisions:rate1m{action!="approve"}', "{{action}}"),
            unit="none",
            runbook="decisions-degraded",
            colours=_ACTIONS,
            stacked=True,
        ),
        series(
            "Amounts decided a minute",
            "Money by what was decided about it, each currency for itself.",
            Query(
                "60 * sum by (action, currency) (rate(cardwatch_stream_amount_minor_total[$__rate_interval])) / 100",
                "{{action}} {{currency}}",
            ),
            unit=MONEY,
            colours={f"{action} EUR": colour for action, colour in _ACTIONS.items()},
        ),
        series(
            "Decided by the rules",
            "Part of the decisions that were made without the model: more fraud passes, more honest people are asked.",
            Query("job:cardwatch_stream_degraded:ratio_rate1m", "degraded"),
            unit="percentunit",
            runbook="decisions-degraded",
            limit=0.01,
        ),
    ]
