"""`cardwatch kafka`: the embedded broker without the rest of the stack."""

from __future__ import annotations

import click

from adapters.runtime.settings import read_settings
from infra.local_stack.embedded_kafka import EmbeddedKafka
from infra.local_stack.supervisor import Supervisor


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=None, help="Port to listen on.  [default: a free port]")
def kafka(port: int | None) -> None:
    """Run the embedded Kafka broker until Ctrl-C.

    The broker listens on the loopback interface only. Its data are kept in CARDWATCH_HOME/kafka, its log is
    CARDWATCH_HOME/logs/kafka.log. The first start fetches Kafka's jars into the local Maven cache.
    """
    settings = read_settings()
    try:
        with Supervisor(settings.home, record="kafka.json") as supervisor:
            broker = EmbeddedKafka(settings, port=port or 0, report=lambda line: click.echo(line, err=True))
            supervisor.start(broker.process_spec())
            click.echo(f"Kafka listens on {broker.bootstrap} (CARDWATCH_KAFKA_BOOTSTRAP={broker.bootstrap})")
            supervisor.wait("kafka")
    except KeyboardInterrupt:
        click.echo("Kafka has stopped; its data are kept", err=True)
