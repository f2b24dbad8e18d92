"""`cardwatch kafka`: the embedded broker, or three of them, without the rest of the stack."""

from __future__ import annotations

import time
from typing import Final

import click

from adapters.runtime.settings import Settings, read_settings
from infra.local_stack.embedded_kafka import EmbeddedKafka
from infra.local_stack.kafka_cluster import BROKERS, KafkaCluster
from infra.local_stack.supervisor import Supervisor

POLL_SECONDS: Final = 0.5
"""Time between two looks whether a broker of several has ended."""


@click.command()
@click.option("--brokers", default="1", type=click.Choice(["1", str(BROKERS)]),
              help="Number of brokers. Of three, one may be lost.")  # fmt: skip
@click.option("--port", type=click.IntRange(1, 65535), default=None,
              help="Port to listen on, of three brokers the first of three ports.  [default: free ports]")  # fmt: skip
def kafka(brokers: str, port: int | None) -> None:
    """Run the embedded Kafka broker, or three of them, until Ctrl-C.

    The brokers listen on the loopback interface only. Their data are kept in CARDWATCH_HOME/kafka, their logs are
    CARDWATCH_HOME/logs/kafka.log, or kafka-1.log to kafka-3.log. The first start fetches Kafka's jars into the local
    Maven cache.

    Three brokers keep every record on all three and accept a write when two have it. Each needs about 250 MB of
    memory. A broker that ends, for example because you kill its process to see what happens, is started again.
    """
    settings = read_settings()
    try:
        with Supervisor(settings.home, record="kafka.json") as supervisor:
            if brokers == "1":
                _run_broker(settings, supervisor, port or 0)
            else:
                _run_cluster(settings, supervisor, port or 0)
    except KeyboardInterrupt:
        click.echo("Kafka has stopped; its data are kept", err=True)


def _run_broker(settings: Settings, supervisor: Supervisor, port: int) -> None:
    broker = EmbeddedKafka(settings, port=port, report=_report)
    supervisor.start(broker.process_spec())
    _print_address(broker.bootstrap)
    supervisor.wait("kafka")


def _run_cluster(settings: Settings, supervisor: Supervisor, port: int) -> None:
    cluster = KafkaCluster(settings, supervisor, port=port, report=_report)
    cluster.start()
    _print_address(cluster.bootstrap)
    for number in cluster.running:
        click.echo(
            f"{cluster.name(number)}: process {supervisor.pid(cluster.name(number))} at {cluster.address(number)}"
        )
    while True:
        for name in supervisor.restart_exited():
            _report(f"{name} had ended and was started again as process {supervisor.pid(name)}")
        time.sleep(POLL_SECONDS)


def _print_address(bootstrap: str) -> None:
    click.echo(f"Kafka listens on {bootstrap} (CARDWATCH_KAFKA_BOOTSTRAP={bootstrap})")


def _report(line: str) -> None:
    click.echo(line, err=True)
