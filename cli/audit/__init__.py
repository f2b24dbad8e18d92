"""`cardwatch audit`: whether recorded decisions follow from log, tables, models and policies, bit for bit."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from rich.console import Console

    from adapters.archive.reader import Archive

_FILE: Final = click.Path(path_type=Path)
_DAY: Final = "%Y-%m-%d"


class DayRange(click.ParamType[tuple[date, date]]):
    """A day, or a first and a last one: 2025-03-01, or 2025-03-01..2025-03-07. Its value is both as dates."""

    name = "FROM..TO"

    def convert(
        self, value: str | tuple[date, date], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[date, date]:
        """Return the first and the last day, which are the same for one day."""
        if isinstance(value, tuple):
            return value
        first, _, last = value.partition("..")
        try:
            days = datetime.strptime(first, _DAY).date(), datetime.strptime(last or first, _DAY).date()  # noqa: DTZ007
        except ValueError:
            self.fail(f"{value!r} is neither a day nor a range of days like 2025-03-01..2025-03-07", param, ctx)
        if days[0] > days[1]:
            self.fail(f"{first} is after {last}", param, ctx)
        return days


class AuditGroup(click.Group):
    """A group whose sub-command `decision` need not be written, unless the id is the name of another one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `decision` before arguments that begin with no sub-command and do not ask for help."""
        if args and args[0] not in self.commands and args[0] not in self.get_help_option_names(ctx):
            args = ["decision", *args]
        return super().parse_args(ctx, args)


@click.group(cls=AuditGroup)
def audit() -> None:
    """Check recorded decisions: does everything in the record follow again, bit for bit?

    \b
        cardwatch audit T-000123
        cardwatch audit T-000123 --as-html decision.html
        cardwatch audit --range 2025-03-01..2025-03-07

    The sub-command `decision` is meant if none is named; write it if an id is the name of another one. docs/audit.md
    explains every check.
    """


@audit.command()
@click.argument("transaction", metavar="ID", required=False)
@click.option("--range", "days", type=DayRange(), help="All decisions on transactions of closed days (UTC).")
@click.option(
    "--decided-by", "former", multiple=True, type=_FILE, help="A former policy file, which decided; may be repeated."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--as-html", "page", type=_FILE, help="Write the result to this file, one page for an auditor.")
def decision(
    transaction: str | None,
    days: tuple[date, date] | None,
    former: tuple[Path, ...],
    page: Path | None,
    *,
    as_json: bool,
) -> None:
    """Audit the decision about the transaction ID, or with --range those of all days from the first to the last.

    The record in the archive is scored again by the stored model, its features are replayed from the log, and the
    policy decides it again. No service has to run but the registry, for which CARDWATCH_MODEL_FOLDER may stand in. The
    exit status is 1 if there is a difference.
    """
    import msgspec  # noqa: PLC0415 (only what is needed for `--help` is imported above)
    from rich.console import Console  # noqa: PLC0415 (as above)

    from cli.audit.days import audit_days  # noqa: PLC0415 (numba is slow to import)
    from cli.audit.one_decision import audit_decision  # noqa: PLC0415 (as above)
    from cli.audit.page import write_page  # noqa: PLC0415 (as above)
    from cli.audit.report import DaysAudit, DecisionAudit  # noqa: PLC0415 (as above)
    from cli.audit.sources import (  # noqa: PLC0415 (as above)
        AuditedModels,
        KnownPolicies,
        audit_settings,
        open_archive,
        read_control_key,
    )
    from cli.audit.text import days_lines, decision_lines  # noqa: PLC0415 (as above)

    if (transaction is None) == (days is None):
        raise click.UsageError("give the id of a transaction, or --range")
    settings = audit_settings()
    archive, control = open_archive(settings), read_control_key(settings)
    result: DecisionAudit | DaysAudit
    with closing(AuditedModels(settings)) as models:
        policies = KnownPolicies(settings, former, models)
        if days is None:
            result = audit_decision(
                settings, archive, transaction or "", models=models, policies=policies, control=control
            )
        else:
            _require_closed(archive, days)
            with _progress(Console(stderr=True)) as advance:
                result = audit_days(
                    settings, archive, days, models=models, policies=policies, control=control, advance=advance
                )
    if page is not None:
        write_page(page, result)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(result)))
    else:
        console = Console(highlight=False, markup=False)
        for each in decision_lines(result) if isinstance(result, DecisionAudit) else days_lines(result):
            console.print(each, soft_wrap=isinstance(each, str))
    sys.exit(1 if result.differences else 0)


def _require_closed(archive: Archive, days: tuple[date, date]) -> None:
    """Raise `Misconfigured` for a day that is not complete in the archive."""
    from cardwatch.errors import Misconfigured  # noqa: PLC0415 (only what is needed for `--help` is imported above)

    closed = archive.closed_days()
    if not closed:
        raise Misconfigured("the archive has no closed day yet")
    wanted = (days[0] + timedelta(days=number) for number in range((days[1] - days[0]).days + 1))
    missing = next((day for day in wanted if day not in closed), None)
    if missing is not None:
        raise Misconfigured(
            f"{missing} is not archived completely: the archive's closed days are {min(closed)} to {max(closed)}"
        )


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how many transactions were replayed, and yield a function that adds some."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415 (as above)

    columns = SpinnerColumn(), TextColumn("{task.completed:,.0f} transactions replayed"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        yield lambda transactions: progress.advance(task, transactions)
