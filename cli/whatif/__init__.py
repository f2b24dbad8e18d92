"""`cardwatch whatif`: what another policy, model or capacity would have done with recorded decisions."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from adapters.archive.reader import Archive
from adapters.runtime.addresses import plain
from adapters.runtime.policy_file import read_policies, read_policy_file
from adapters.runtime.settings import Settings, read_settings
from cardwatch.decision.control_share import ControlSample
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.errors import Misconfigured

if TYPE_CHECKING:
    from cardwatch.decision.what_if import Alternative

_DAY: Final = click.DateTime(["%Y-%m-%d"])
_FILE: Final = click.Path(path_type=Path)


@click.command()
@click.option("--policy", "policy_file", type=_FILE, help="Try this policy file.")
@click.option("--model", "version", help="Try this version of the registry at CARDWATCH_MLFLOW_URL.")
@click.option("--capacity", type=click.IntRange(min=0), help="Try the policy with at most so many alerts a day.")
@click.option("--from", "first", required=True, type=_DAY, help="First day, UTC.")
@click.option("--to", "last", required=True, type=_DAY, help="Last day, UTC; every day must be closed.")
@click.option(
    "--decided-by", "former", multiple=True, type=_FILE, help="A former policy file, which decided some of these days."
)
@click.option(
    "--truth", type=_FILE, help="Truth of `cardwatch simulate`.  [default: that of the stack's own simulated world]"
)
@click.option("--json", "output", type=_FILE, help="Write the figures to this file.")
def whatif(
    policy_file: Path | None,
    version: str | None,
    capacity: int | None,
    first: datetime,
    last: datetime,
    former: tuple[Path, ...],
    truth: Path | None,
    output: Path | None,
) -> None:
    """Replay recorded decisions under another policy, model or capacity, and print what would have changed.

    The policy in force must give the recorded actions first; decisions that it does not reproduce are left out, and
    listed. Both sides are valued by its costs.
    """
    import msgspec  # noqa: PLC0415 (only what is needed for `--help` is imported above)
    from rich.console import Console  # noqa: PLC0415 (as above)

    from adapters.archive.recorded_rows import read_recorded_rows  # noqa: PLC0415 (numba is slow to import)
    from cardwatch.decision.what_if import what_if  # noqa: PLC0415 (as above)
    from cli.whatif.report import WhatIfReport, lines_and_tables  # noqa: PLC0415 (as above)
    from cli.whatif.truth import read_truth_file, require_same_world, truth_of_stack  # noqa: PLC0415 (as above)

    if sum(given is not None for given in (policy_file, version, capacity)) != 1:
        raise click.UsageError("try one thing at a time: give one of --policy, --model and --capacity")
    settings, first_day, last_day = read_settings(), first.date(), last.date()
    policies = read_policies(settings)
    current = policies.decision
    known = [current, *(read_policy_file(path).decision for path in former)]
    alternative = _alternative(settings, current, policy_file, version, capacity, (last_day - first_day).days + 1)
    archive = _archive(settings, first_day, last_day)
    known_truth = truth_of_stack(settings, last_day) if truth is None else read_truth_file(truth)
    parts = read_recorded_rows(
        archive,
        first_day,
        last_day,
        policies=[*known, alternative.policy],
        maturity_days=policies.drift.maturity_days,
        truth=known_truth,
    )
    if not parts:
        raise Misconfigured(f"{first_day} to {last_day}: the archive has no decisions on transactions of these days")
    if known_truth is not None:
        require_same_world(parts, known_truth)
    report = WhatIfReport(
        first_day=first_day,
        last_day=last_day,
        tried=_tried(policy_file, version, capacity),
        policy_version=alternative.policy.version,
        currency=current.currency,
        maturity_days=policies.drift.maturity_days,
        result=what_if(
            parts,
            alternative,
            known=known,
            control=_control(settings, [*known, alternative.policy]),
            typologies=known_truth.typologies if known_truth else (),
            is_fraud=known_truth.is_fraud if known_truth else (),
        ),
    )
    if output is not None:
        output.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    console = Console(highlight=False, markup=False)
    for each in lines_and_tables(report):
        console.print(each, soft_wrap=isinstance(each, str))


def _alternative(
    settings: Settings,
    current: DecisionPolicy,
    policy_file: Path | None,
    version: str | None,
    capacity: int | None,
    days: int,
) -> Alternative:
    from adapters.model_registry.mlflow_registry import MlflowRegistry  # noqa: PLC0415 (numba is slow to import)
    from cardwatch.decision.what_if import Alternative  # noqa: PLC0415 (as above)
    from cli.policy.decided_rows import registered_detector  # noqa: PLC0415 (as above)

    if policy_file is not None:
        return Alternative(policy=read_policy_file(policy_file).decision)
    if version is None:
        return Alternative(policy=current, alerts=(capacity or 0) * days)
    if not settings.mlflow_url:
        raise Misconfigured(f"CARDWATCH_MLFLOW_URL is empty: name the registry that has version {version}")
    with closing(MlflowRegistry(settings.mlflow_url)) as registry:
        detector = registered_detector(registry, version)
    return Alternative(policy=current, score=lambda features: detector.probabilities(detector.margins(features)))


def _archive(settings: Settings, first: date, last: date) -> Archive:
    """Return the archive. Raises `Misconfigured` if there is none, or if one of the days is not closed in it."""
    if first > last:
        raise click.BadParameter(f"{first} is after --to {last}", param_hint="--from")
    archive = Archive(settings.archive, settings.index_url)
    if not archive.exists:
        raise Misconfigured(f"{settings.archive}: there is no archive; run this where the services run")
    closed = archive.closed_days()
    if not closed:
        raise Misconfigured("the archive has no closed day yet")
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    missing = next((day for day in days if day not in closed), None)
    if missing is not None:
        raise Misconfigured(f"{missing} is not closed: the archive's closed days are {min(closed)} to {max(closed)}")
    return archive


def _control(settings: Settings, policies: Sequence[DecisionPolicy]) -> ControlSample | None:
    """Return what draws the control share, None without a key or if no policy has a share."""
    key = plain(settings.control_key).encode()
    if not key or not any(policy.control.share for policy in policies):
        return None
    try:
        return ControlSample(key)
    except ValueError as error:
        raise Misconfigured(f"CARDWATCH_CONTROL_KEY: {error}") from error


def _tried(policy_file: Path | None, version: str | None, capacity: int | None) -> str:
    if policy_file is not None:
        return f"policy {policy_file}"
    return f"model {version}" if version is not None else f"at most {capacity:,} alerts a day"
