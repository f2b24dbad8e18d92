"""The one command, `cardwatch`. Its subcommands are imported when they are used, so that `--help` is quick."""

from __future__ import annotations

import signal
from importlib import import_module
from types import FrameType
from typing import Final, NoReturn

import click

from cardwatch.errors import CardwatchError, Misconfigured

# Name: the module that has a command of the same name, and the line that `--help` shows.
COMMANDS: Final = {
    "demo": ("cli.demo", "From nothing to the closed loop, on real parts, with a report."),
    "up": ("cli.stack.up", "Start the whole system on this machine, and leave it running."),
    "down": ("cli.stack.down", "Stop it."),
    "ps": ("cli.stack.ps", "What of it runs, and what each process waits for."),
    "logs": ("cli.stack.logs", "What its processes say."),
    "bootstrap": ("cli.bootstrap", "Train the first champion once history is archived."),
    "evaluate": ("cli.evaluate", "Train and test on your own transactions."),
    "replay": ("cli.replay", "The archived log as feature rows, on all cores."),
    "backfill": ("cli.backfill", "The same by Spark, for histories that outgrow one machine."),
    "simulate": ("cli.simulate", "Write the demo's world as one file."),
    "aws": ("cli.aws", "The same system on AWS, or on moto on this machine."),
    "kafka": ("cli.kafka", "Run the embedded Kafka broker until Ctrl-C."),
    "store": ("cli.store", "Snapshot, restore or rebuild the feature store."),
    "tables": ("cli.tables", "List the reference tables, and check them."),
    "keys": ("cli.keys", "Who may call the scoring service: add, list, revoke API keys."),
    "heartbeat": ("cli.heartbeat", "Say up to which event time your own source has sent everything."),
    "contracts": ("cli.contracts", "Write the JSON Schemas of the topics' records."),
    "features": ("cli.features", "Write the page about the features, and its picture."),
}


class LazyGroup(click.Group):
    """Finds its commands in `COMMANDS`, and shows what Cardwatch refuses as one message instead of a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of this name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(COMMANDS[cmd_name][0]), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; exit status 2 for what the user can correct in a setting, 1 for any other refusal."""
        try:
            return super().invoke(ctx)
        except CardwatchError as error:
            click.echo(f"cardwatch: {error}", err=True)
            ctx.exit(2 if isinstance(error, Misconfigured) else 1)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Card-fraud detection from the first transaction to the retrained model.

    Settings are read from the environment: CARDWATCH_HOME, CARDWATCH_KAFKA_BOOTSTRAP and so on.
    """
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    """SIGTERM ends a command as Ctrl-C does: what it started is stopped."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
