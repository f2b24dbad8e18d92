"""`cardwatch demo`: the whole loop, from nothing, on real parts."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Final

import click

from adapters.runtime.policy_file import read_policies
from adapters.runtime.settings import read_settings
from cardwatch.simulation.label_settings import LabelSettings
from cardwatch.simulation.selection import SelectionSettings
from cardwatch.simulation.settings import SimulationSettings
from cli.demo.plan import DemoPlan
from cli.finite_range import FiniteRange

CHANGE_AFTER_DAYS: Final = 14


@click.command()
@click.option(
    "--seed", default=7, type=click.IntRange(min=0), help="The same seed gives the same transactions, scores and days."
)
@click.option("--cards", default=2_000, type=click.IntRange(min=50), help="How many cards there are.")
@click.option(
    "--fraud-share", default=0.003, type=FiniteRange(0.0, 0.05), help="Part of all transactions that is fraud."
)
@click.option("--history-days", default=60, type=click.IntRange(min=20), help="What the first champion is trained on.")
@click.option("--live-days", default=60, type=click.IntRange(min=1), help="Simulated days streamed at the most.")
@click.option("--days-after", default=12, type=click.IntRange(min=1), help="How many of them after a promotion.")
@click.option(
    "--rate", default=300.0, type=FiniteRange(min=1.0), help="Transactions a second while latency is measured."
)
@click.option("--seconds", default=15.0, type=FiniteRange(min=1.0), help="How long latency is measured.")
@click.option("--no-change", is_flag=True, help="Keep the simulated population unchanged: nothing may be retrained.")
@click.option("--keep", is_flag=True, help="Leave the stack running until Ctrl-C, and print its addresses.")
@click.option("--output", type=click.Path(path_type=Path), help="Where the report goes.  [default: with the run]")
def demo(  # noqa: PLR0913, PLR0917 (an option each)
    seed: int,
    cards: int,
    fraud_share: float,
    history_days: int,
    live_days: int,
    days_after: int,
    rate: float,
    seconds: float,
    no_change: bool,
    keep: bool,
    output: Path | None,
) -> None:
    """Watch fraud being caught, the model decay, and the system retrain itself.

    Starts the stack on free ports, simulates history, trains the first champion, streams live days in step, changes
    the simulated population, and ends with a table and a page. The exit status is 0 if the loop closed.
    """
    from cli.demo.run import DemoRun  # noqa: PLC0415 (`--help` need not wait for it)

    settings = read_settings()
    change_day = None if no_change else history_days + CHANGE_AFTER_DAYS
    policies = read_policies(settings)
    stops = policies.decision.challenge_stops_fraud
    simulation = SimulationSettings(
        seed=seed,
        cards=cards,
        fraud_share=fraud_share,
        change_day=change_day,
        labels=LabelSettings(selection=SelectionSettings(challenge_stops_fraud=stops)),
    )
    plan = DemoPlan(
        seed=seed,
        cards=cards,
        first_day=simulation.first_day,
        history_days=history_days,
        live_days=live_days,
        change_day=None if change_day is None else simulation.first_day + timedelta(days=change_day),
        maturity_days=policies.drift.maturity_days,
        challenge_stops_fraud=stops,
        offered_rate=rate,
    )
    run = DemoRun(settings, plan, simulation, days_after=days_after, rate_seconds=seconds, keep=keep, output=output)
    sys.exit(0 if run.run() else 1)
