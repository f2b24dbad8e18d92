"""`cardwatch aws send`, `smoke` and `redrive`: transactions from this machine for the system on AWS."""

from __future__ import annotations

import secrets
import statistics
import time
from contextlib import closing
from datetime import UTC, datetime

import click

from adapters.aws.account import Account
from adapters.aws.api_gateway import api_key, ask
from adapters.aws.clients import aws_client
from adapters.aws.kinesis import KinesisReader, KinesisWriter, read_stretch
from adapters.aws.s3 import Bucket
from adapters.aws.sqs import Queue
from adapters.runtime.clock import epoch_ms
from adapters.runtime.settings import Settings, read_settings
from cardwatch.errors import Misconfigured
from cardwatch.events import encode
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from infra.aws.acceptance.smoke import await_decisions, new_transactions, parse_score_response, unsent_transaction
from infra.aws.acceptance.traffic import Traffic
from infra.aws.deploy import redrive as abandoned
from infra.aws.deploy.environments import TERRAFORM, Environment, LocalFiles
from infra.aws.deploy.terraform import Terraform


@click.command()
@click.argument("env")
@click.option("--rate", default=50.0, type=click.FloatRange(min=0.1), show_default=True, help="Transactions a second.")
@click.option("--days", default=1, type=click.IntRange(min=1), show_default=True, help="How many simulated days.")
@click.option(
    "--from-day",
    default=0,
    type=click.IntRange(min=0),
    show_default=True,
    help="The first one; those before were sent.",
)
@click.option(
    "--cards", default=2_000, type=click.IntRange(min=50), show_default=True, help="How many cards there are."
)
@click.option("--seed", default=7, type=click.IntRange(min=0), show_default=True, help="Which world.")
@click.option("--first-day", type=click.DateTime(["%Y-%m-%d"]), help="The date of day 0.  [default: 2025-01-06]")
@click.option(
    "--change-after", type=click.IntRange(min=0), help="The day on which the world changes.  [default: never]"
)
def send(
    env: str,
    rate: float,
    days: int,
    from_day: int,
    cards: int,
    seed: int,
    first_day: datetime | None,
    change_after: int | None,
) -> None:
    """Send the simulated world's transactions into ENV's stream, and its labels into ENV's bucket.

    Each transaction is keyed by its card. What the stream does not take at once is sent again, more slowly each time;
    the same days sent twice are recognised as repeats.
    """
    environment = _reached_from_here(env)
    settings = SimulationSettings(seed=seed, cards=cards, change_day=change_after)
    if first_day is not None:
        settings = SimulationSettings(seed=seed, cards=cards, change_day=change_after, first_day=first_day.date())
    region = environment.region
    bucket = Bucket(environment.bucket(Account(region).identity().account), client=aws_client("s3", region=region))
    world = Simulation(settings)
    for number in range(from_day):
        world.day(number)
    with closing(KinesisWriter(environment.transactions, region=region)) as writer:
        traffic = Traffic(world, writer, bucket.put)
        try:
            for number in range(from_day, from_day + days):
                traffic.send_day(number, rate_per_second=rate)
                click.echo(f"day {number}: {traffic.sent.transactions:,} transactions so far")
        finally:
            sent = traffic.sent
            click.echo(
                f"{sent.transactions:,} transactions in {sent.seconds:,.1f} s ({sent.rate:,.0f} a second) into "
                f"{environment.transactions}, {writer.resent:,} of them sent again; {sent.labels:,} labels into "
                f"s3://{bucket.name}/labels/. To go on: --from-day {from_day + sent.days}"
            )


@click.command()
@click.argument("env")
def smoke(env: str) -> None:
    """Ask a deployed ENV whether it works: ten transactions, their decisions, and one unsent_transaction to the API."""
    smoke_test(_reached_from_here(env), read_settings())


def smoke_test(environment: Environment, settings: Settings) -> None:
    """Send, wait, ask, and print what came; raises `CardwatchError` if something did not come."""
    outputs = ready_terraform(environment, settings, Account(environment.region)).outputs()
    run = secrets.token_hex(4)
    transactions = new_transactions(datetime.fromtimestamp(int(epoch_ms() / 1000), UTC), run)
    region = environment.region
    with (
        closing(KinesisReader(environment.decisions, region=region)) as reader,
        closing(KinesisWriter(environment.transactions, region=region)) as writer,
    ):
        arrived = await_decisions(transactions, writer, reader)
    seconds = sorted(each.seconds for each in arrived)
    degraded = sum(each.decision.degraded for each in arrived)
    click.echo(
        f"{len(arrived)} decisions, the first after {seconds[0]:.2f} s, half of them after "
        f"{statistics.median(seconds):.2f} s, all after {seconds[-1]:.2f} s; {degraded} degraded"
    )
    key = api_key(str(outputs["api_key_id"]), region)
    begin = time.monotonic()
    answer = parse_score_response(
        ask(str(outputs["api_url"]), encode(unsent_transaction(transactions[-1], run)), region=region, key=key)
    )
    click.echo(
        f"POST /v1/score: {answer.action.value} after {(time.monotonic() - begin) * 1000:,.0f} ms, having seen "
        f"{answer.sequence} transactions of the card{'; degraded' if answer.degraded else ''}"
    )


@click.command()
@click.argument("env")
def redrive(env: str) -> None:
    """Send the transactions of batches that Lambda gave up once more, as long as ENV's stream still has them.

    First take away what made them fail: the queue says when that was, the function's log why.
    """
    environment = _reached_from_here(env)
    region = environment.region
    outputs = ready_terraform(environment, read_settings(), Account(region)).outputs()
    queue = Queue(str(outputs["abandoned_queue_url"]), client=aws_client("sqs", region=region))
    kinesis = aws_client("kinesis", region=region)
    stream = environment.transactions
    with closing(KinesisWriter(stream, region=region)) as writer:
        done = abandoned.redrive(
            queue,
            lambda batch: read_stretch(
                stream, batch.shard_id, batch.start_sequence_number, batch.end_sequence_number, client=kinesis
            ),
            writer.write,
        )
    click.echo(f"{done.records:,} transactions of {done.batches:,} batches are in {stream} again")
    abandoned.require_all_sent(done)


def _reached_from_here(name: str) -> Environment:
    environment = Environment(name)
    if environment.variables.text("ingress") != "kinesis":
        raise Misconfigured(f"{name} takes transactions by MSK, which is not reached from here: send from its network")
    return environment


def ready_terraform(environment: Environment, settings: Settings, account: Account) -> Terraform:
    """The system's Terraform with the environment's state in this account."""
    terraform = Terraform(settings, TERRAFORM, report=click.echo, name=environment.name)
    terraform.init(LocalFiles(environment, settings.home).backend(account.identity().account))
    return terraform
