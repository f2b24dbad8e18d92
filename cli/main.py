"""The command `cardwatch`. Subcommands are imported when they are used, so that `--help` is fast."""

from __future__ import annotations

import errno
import signal
from importlib import import_module
from importlib.util import find_spec
from types import FrameType
from typing import Final, NoReturn

import click

from adapters.runtime.addresses import is_unicode, without_userinfo
from adapters.runtime.terminal_text import escaped
from cardwatch.errors import CardwatchError, Misconfigured

COMMANDS: Final = {
    "demo": ("cli.demo", "Run the closed loop from history to retraining, and write a report."),
    "up": ("cli.stack.up", "Start the system on this machine in the background."),
    "down": ("cli.stack.down", "Stop the system."),
    "ps": ("cli.stack.ps", "List its processes and what they wait for."),
    "logs": ("cli.stack.logs", "Show the logs of its processes."),
    "console": ("cli.console", "Print the address of the console, or build its page."),
    "example": ("cli.example", "Print a first request to the running scoring service, as a shell command."),
    "send": ("cli.send", "Send transactions, and print their decisions of record."),
    "decisions": ("cli.decisions", "Follow the decisions of record, and explain one of them."),
    "label": ("cli.label", "Say of a decided transaction whether it was fraud."),
    "cases": ("cli.cases", "List challenged and declined transactions as cases, and decide them."),
    "dead-letters": ("cli.dead_letters", "List and show rejected records, and send those again that are valid now."),
    "fault": ("cli.fault", "List faults of a running stack, and switch them on and off."),
    "steps": ("cli.steps", "Hold the stream worker before a step of the commit order."),
    "quarantine": ("cli.quarantine", "List or release the days that the data contract excludes from training."),
    "upgrade": ("cli.upgrade", "Bring the stack's data to this version, after an update."),
    "bootstrap": ("cli.bootstrap", "Train the first champion when enough history is archived."),
    "models": ("cli.models", "List model versions, their stages, and who moved what when."),
    "model": ("cli.model", "Move a model version: approve, shadow, canary, promote, roll back, retire."),
    "verdict": ("cli.verdict", "Fetch, show and check the verdict on a model version."),
    "stress": ("cli.stress", "Test monitoring and retraining on many simulated worlds."),
    "evaluate": ("cli.evaluate", "Train and test a model on your own transactions."),
    "replay": ("cli.replay", "Write the archived log as feature rows, on all cores."),
    "backfill": ("cli.backfill", "Write the archived log as feature rows, with Spark."),
    "simulate": ("cli.simulate", "Write simulated transactions to a file."),
    "aws": ("cli.aws", "Deploy the system on AWS, or on moto on this machine."),
    "kafka": ("cli.kafka", "Run the embedded Kafka broker until Ctrl-C."),
    "store": ("cli.store", "Snapshot, restore or rebuild the feature store."),
    "tables": ("cli.tables", "List and check the reference tables."),
    "keys": ("cli.keys", "Add, list or revoke API keys of the scoring service."),
    "policy": ("cli.policy", "Check a policy file, and try it on decided transactions."),
    "whatif": ("cli.whatif", "Replay decisions under another policy, model or capacity."),
    "audit": ("cli.audit", "Check recorded decisions: scored and decided again, to the bit."),
    "estimate": ("cli.estimate", "Estimate what a rate of transactions needs and costs, step by step."),
    "heartbeat": ("cli.heartbeat", "Publish the event time up to which a source is complete."),
    "contracts": ("cli.contracts", "Write the JSON Schemas of the topics' records."),
    "features": ("cli.features", "Write the documentation page of the features."),
    "tour": ("cli.tour", "Write the walk through the design, as a page and for the console."),
}
"""The module of each command, which has the name of the command, and its line in `--help`."""


class LazyGroup(click.Group):
    """Imports the commands of `COMMANDS` on demand, and prints errors of Cardwatch, and of files, without a traceback.

    Commands without a module are left out: the image of the pipelines has only those for operations.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands in the order of the table."""
        return [name for name, (module, _) in COMMANDS.items() if find_spec(".".join(module.split(".")[:2]))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command of this name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = getattr(import_module(COMMANDS[cmd_name][0]), cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; exit with status 2 for errors in settings or arguments, and 1 for other errors."""
        try:
            return super().invoke(ctx)
        except CardwatchError as error:
            # Names of columns and files, which a message may quote, can hold what a terminal would act on.
            lines = (escaped(line) for line in without_userinfo(str(error)).split("\n"))
            click.echo("cardwatch: " + "\n".join(lines), err=True)
            ctx.exit(2 if isinstance(error, Misconfigured) else 1)
        except UnicodeEncodeError as error:
            if is_unicode(error.object):
                raise
            click.echo(
                f"cardwatch: {error.object!r} is not UTF-8 text; rename the file, or write the argument in UTF-8",
                err=True,
            )
            ctx.exit(2)
        except OSError as error:
            if (
                error.errno == errno.EPIPE
            ):  # the reader of the output has gone: click ends the process without a message
                raise
            where = f": {error.filename}" if error.filename else ""
            click.echo(f"cardwatch: {error.strerror or error}{where}", err=True)
            ctx.exit(1)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
def main() -> None:
    """Card-fraud detection from the first transaction to the retrained model.

    Settings are read from environment variables such as CARDWATCH_HOME and CARDWATCH_KAFKA_BOOTSTRAP.
    """
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    """End a command on SIGTERM as on Ctrl-C, which stops the processes that it has started."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
