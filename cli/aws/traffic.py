"""`cardwatch aws send`, `smoke` and `redrive`: transactions from this machine for the system on AWS."""

from __future__ import annotations

import secrets
import statistics
import time
from contextlib import closing
from datetime import UTC, datetime

import click
from msgspec import structs

from adapters.aws.account import Account
from adapters.aws.api_gateway import api_key, post_signed
from adapters.aws.clients import aws_client
from adapters.aws.kinesis import KinesisReader, KinesisWriter, read_range
from adapters.aws.s3 import Bucket
from adapters.aws.sqs import Queue
from adapters.runtime.clock import epoch_ms
from adapters.runtime.settings import Settings, read_settings
from cardwatch.errors import Misconfigured
from cardwatch.events import encode
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cli.finite_range import FiniteRange
from infra.aws.acceptance.smoke import await_decisions, new_transactions, parse_score_response, unsent_transaction
from infra.aws.acceptance.traffic import Traffic
from infra.aws.deploy import redrive as abandoned
from infra.aws.deploy.terraform import Terraform
from infra.aws.environments import TERRAFORM, Environment, LocalFiles


@click.command()
@click.argument("env")
@click.option("--rate", default=50.0, type=FiniteRange(min=0.1), help="Transactions per second.")
@click.option("--days", default=1, type=click.IntRange(min=1), help="Number of simulated days.")
@click.option("--from-day", default=0, type=click.IntRange(min=0), help="Number of the first day to send.")
@click.option("--cards", default=2_000, type=click.IntRange(min=50), help="Number of cards.")
@click.option("--seed", default=7, type=click.IntRange(min=0), help="Seed of the simulation.")
@click.option("--first-day", type=click.DateTime(["%Y-%m-%d"]), help="Date of day 0.  [default: 2025-01-06]")
@click.option(
    "--change-after", type=click.IntRange(min=0), help="Day on which the simulated world changes.  [default: never]"
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
    """Send simulated transactions into ENV's stream, and their labels into ENV's bucket.

    Each transaction is keyed by its card. Records that the stream does not accept are retried with growing pauses. Days
    that are sent twice are recognised as repeats.
    """
    environment = _reachable_environment(env)
    settings = SimulationSettings(seed=seed, cards=cards, change_day=change_after)
    if first_day is not None:
        settings = structs.replace(settings, first_day=first_day.date())
    region = environment.region
    bucket = Bucket(environment.bucket(Account(region).identity().account), client=aws_client("s3", region=region))
    world = Simulation(settings)
    for number in range(from_day):
        world.day(number)
    with closing(KinesisWriter(environment.transactions, region=region)) as writer:
        traffic = Traffic(world, writer.write, bucket.put)
        try:
            for number in range(from_day, from_day + days):
                traffic.send_day(number, rate_per_second=rate)
                click.echo(f"day {number}: {traffic.sent.transactions:,} transactions so far")
        finally:
            sent = traffic.sent
            click.echo(
                f"{sent.transactions:,} transactions in {sent.seconds:,.1f} s ({sent.rate:,.0f} per second) into "
                f"{environment.transactions}, {writer.resent:,} of them retried; {sent.labels:,} labels into "
                f"s3://{bucket.name}/labels/. To continue: --from-day {from_day + sent.days}"
            )


@click.command()
@click.argument("env")
def smoke(env: str) -> None:
    """Test a deployed ENV: send ten transactions, wait for their decisions, and call the API once."""
    smoke_test(_reachable_environment(env), read_settings())


def smoke_test(environment: Environment, settings: Settings) -> None:
    """Run the smoke test and print its result; raises `CardwatchError` if it fails."""
    region = environment.region
    outputs = initialized_terraform(environment, settings, Account(region)).outputs()
    run = secrets.token_hex(4)
    transactions = new_transactions(datetime.fromtimestamp(int(epoch_ms() / 1000), UTC), run)
    with (
        closing(KinesisReader(environment.decisions, region=region)) as reader,
        closing(KinesisWriter(environment.transactions, region=region)) as writer,
    ):
        received = await_decisions(transactions, writer.write, reader.poll)
    seconds = sorted(each.seconds for each in received)
    degraded = sum(each.decision.degraded for each in received)
    click.echo(
        f"{len(received)} decisions after {seconds[0]:.2f} s (first), {statistics.median(seconds):.2f} s (median) and "
        f"{seconds[-1]:.2f} s (last); {degraded} degraded"
    )
    key = api_key(str(outputs["api_key_id"]), region)
    request = encode(unsent_transaction(transactions[-1], run))
    begin = time.monotonic()
    response = parse_score_response(post_signed(str(outputs["api_url"]), request, region=region, key=key))
    click.echo(
        f"POST /v1/score: {response.action.value} after {(time.monotonic() - begin) * 1000:,.0f} ms, with "
        f"{response.sequence} earlier transactions of the card{'; degraded' if response.degraded else ''}"
    )


@click.command()
@click.argument("env")
def redrive(env: str) -> None:
    """Send the transactions of batches that Lambda gave up again, if ENV's stream still has them.

    Remove the cause of the failure first: the queue says when it happened, the function's log why.
    """
    environment = _reachable_environment(env)
    region, stream = environment.region, environment.transactions
    outputs = initialized_terraform(environment, read_settings(), Account(region)).outputs()
    queue = Queue(str(outputs["abandoned_queue_url"]), client=aws_client("sqs", region=region))
    kinesis = aws_client("kinesis", region=region)

    def read(batch: abandoned.AbandonedBatch) -> abandoned.Records:
        first, last = batch.start_sequence_number, batch.end_sequence_number
        return read_range(stream, batch.shard_id, first, last, client=kinesis)

    with closing(KinesisWriter(stream, region=region)) as writer:
        result = abandoned.redrive(queue, read, writer.write)
    click.echo(f"{result.records:,} transactions of {result.batches:,} batches are in {stream} again")
    abandoned.require_all_sent(result)


def initialized_terraform(environment: Environment, settings: Settings, account: Account) -> Terraform:
    """Return the system's Terraform, initialized with the environment's state in this account."""
    terraform = Terraform(settings, TERRAFORM, report=click.echo, name=environment.name)
    terraform.init(LocalFiles(environment, settings.home).backend(account.identity().account))
    return terraform


def _reachable_environment(name: str) -> Environment:
    environment = Environment(name)
    if environment.variables.text("ingress") != "kinesis":
        raise Misconfigured(f"{name} receives transactions through MSK, which is reachable only from its network")
    return environment
