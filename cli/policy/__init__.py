"""`cardwatch policy`: checks a policy file, and says what it would have done with decided transactions."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Final

import click

from adapters.archive.reader import Archive
from adapters.runtime.policy_file import read_policies, read_policy_file
from adapters.runtime.settings import Settings, read_settings
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.errors import Misconfigured

DAYS: Final = 7
"""A week, so that every weekday counts once."""
_FILE: Final = click.option(
    "--file", "path", type=click.Path(path_type=Path), help="Policy file; by default CARDWATCH_POLICY_FILE."
)
_DAYS: Final = click.option("--days", type=click.IntRange(1, 366), default=DAYS, show_default=True)


@click.group()
def policy() -> None:
    """Check a policy file, and report what it would have done with the decisions of the last closed days."""


@policy.command()
@_FILE
def check(path: Path | None) -> None:
    """Read the policy file, and print the version that decisions would record."""
    click.echo(f"version {_policy(read_settings(), path).version}")


@policy.command()
@_FILE
@_DAYS
def report(path: Path | None, days: int) -> None:
    """Print alerts, hits of each rule and the price of the control share, from archived decisions of the model.

    A rule that is not in force yet can be tried like this: put it into a copy of the file, and report on that.
    """
    from cli.policy.decided_rows import read_decided_rows  # noqa: PLC0415 (numba is slow to import)
    from cli.policy.text import report_lines  # noqa: PLC0415 (as above)

    settings = read_settings()
    chosen = _policy(settings, path)
    for line in report_lines(chosen, read_decided_rows(_archive(settings), chosen, days)):
        click.echo(line)


@policy.command()
@click.argument("alerts_a_day", type=click.IntRange(min=0))
@_FILE
@_DAYS
@click.option(
    "--model", "version", help="Version in the registry at CARDWATCH_MLFLOW_URL; by default that which decided."
)
def capacity(alerts_a_day: int, path: Path | None, days: int, version: str | None) -> None:
    """Print the price of an alert at which the model's last days would have had at most ALERTS_A_DAY alerts a day.

    Put the line into the table [decision] of the policy file. The version of the policy changes with it. Before a
    challenger is promoted, name it with --model: it has other probabilities, so it needs another price.
    """
    from adapters.model_registry.mlflow_registry import MlflowRegistry  # noqa: PLC0415 (numba is slow to import)
    from cli.policy.decided_rows import read_decided_rows, rescored  # noqa: PLC0415 (as above)
    from cli.policy.text import capacity_lines  # noqa: PLC0415 (as above)

    settings = read_settings()
    chosen = _policy(settings, path)
    rows = read_decided_rows(_archive(settings), chosen, days)
    if version is not None:
        if not settings.mlflow_url:
            raise Misconfigured(f"CARDWATCH_MLFLOW_URL is empty: name the registry that has version {version}")
        with closing(MlflowRegistry(settings.mlflow_url)) as registry:
            rows = rescored(rows, registry, version)
    for line in capacity_lines(chosen, rows, alerts_a_day):
        click.echo(line)


def _policy(settings: Settings, path: Path | None) -> DecisionPolicy:
    return (read_policies(settings) if path is None else read_policy_file(path)).decision


def _archive(settings: Settings) -> Archive:
    archive = Archive(settings.archive, settings.index_url)
    if not archive.exists:
        raise Misconfigured(f"{settings.archive}: there is no archive; run this where the services run")
    return archive
