"""The plan of an upgrade, made from the data, and its steps in order: tables, card states, model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import date
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from adapters.archive.archived_log import ArchivedLog
from adapters.archive.reader import Archive
from adapters.archive.reference_tables import FORMER_FOLDER
from adapters.archive.table_rebuild import TableRebuild
from adapters.feature_store.open import open_reader
from adapters.feature_store.refold import StoreRefold
from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.runtime.closeable import Closeable
from adapters.runtime.settings import Settings
from cardwatch.errors import CardwatchError, Misconfigured, StoreRefused
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.registry import CHAMPION, ModelVersion
from cli.upgrade.training import train
from infra.local_stack.stack import LocalStack


class UpgradePlan(NamedTuple):
    """The outdated parts of the data. `former_champion` is None without a champion, or for one of this version.

    `tables`: number of reference tables to build again. `is_interrupted`: whether an earlier upgrade has left tables to
    replace. `outdated_days`: number of closed days whose table has another id in the index. `has_former_states`:
    whether the card states are to be folded again.
    """

    tables: int
    is_interrupted: bool
    outdated_days: int
    has_former_states: bool
    former_champion: ModelVersion | None
    last_day: date | None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is outdated."""
        return not (self._has_former_tables or self.has_former_states or self.former_champion)

    @property
    def _has_former_tables(self) -> bool:
        return bool(self.tables or self.is_interrupted or self.outdated_days)

    def lines(self) -> list[str]:
        """Return a sentence for each part of the data."""
        champion = self.former_champion
        return [
            f"reference tables: {self.tables} of another version are built again from the archive"
            if self.tables
            else "reference tables: an interrupted replacement is completed"
            if self._has_former_tables
            else "reference tables: nothing to do",
            "card states: the archived log is folded again, because another version wrote them"
            if self.has_former_states
            else "card states: nothing to do",
            f"model: the champion, version {champion.version}, needs other features; a new model is trained on the "
            f"data known at the end of {self.last_day}"
            if champion
            else "model: nothing to do",
        ]


def make_plan(settings: Settings, stack: LocalStack) -> UpgradePlan:
    """Return what is outdated in the data of `settings`.

    Registry and archive's index are those of `stack`, which may be copies. It starts MLflow, to find the champion.

    Raises `CardwatchError` if the archive is missing that something must be built from, `CorruptTable` for a damaged
    table, `StoreRefused` for an incomplete store, and `Misconfigured` for a store on a server whose states are of
    another version: this command does not replace it.
    """
    databases = stack.settings
    rebuild = TableRebuild(settings.tables, databases.archive, settings.index_url)
    champion = _former_champion(stack)
    archive = Archive(databases.archive, settings.index_url)
    former_tables = rebuild.former_tables()
    if former_tables and not archive.exists:
        raise CardwatchError(
            f"{len(former_tables)} reference tables are of another version, and there is no archive in "
            f"{settings.archive} to build them again from: restore the archive's files, and run `cardwatch upgrade` "
            "again"
        )
    closed = archive.closed_days() if archive.exists else {}
    if champion is not None and not closed:
        raise CardwatchError(
            f"the archive in {settings.archive} has no complete day, so that no model can be trained for this version: "
            "restore the archive's files, and run `cardwatch upgrade` again"
        )
    return UpgradePlan(
        tables=len(former_tables),
        is_interrupted=rebuild.is_interrupted,
        outdated_days=len(rebuild.outdated_days()),
        has_former_states=_has_former_states(settings),
        former_champion=champion,
        last_day=max(closed, default=None),
    )


def apply_plan(stack: LocalStack, plan: UpgradePlan, report: Callable[[str], None]) -> None:
    """Do what the plan says, and report each part when it is done. Every part can be repeated after an interruption."""
    settings = stack.settings
    if plan.tables or plan.is_interrupted or plan.outdated_days:
        with _progress("building reference tables", plan.tables) as advance:
            TableRebuild(settings.tables, settings.archive, settings.index_url).run(lambda _day: advance(1))
        former = settings.tables / FORMER_FOLDER
        report(f"the reference tables are of this version; the former ones are kept in {former} for old decisions")
    if plan.has_former_states:
        refold = _refold(settings)
        with _progress("folding the log", sum(refold.ends().values())) as advance:
            refold.run(lambda _partition, records: advance(records))
        report(f"the card states in {settings.store} are folded again")
    if plan.former_champion is not None and plan.last_day is not None:
        with _progress("training a model", None):
            champion = train(stack, plan.former_champion, plan.last_day)
        score = champion.tags.get("average_precision", "unknown")
        report(f"version {champion.version} is champion, with an average precision of {score}")


def _refold(settings: Settings) -> StoreRefold:
    return StoreRefold(settings.store, ArchivedLog(settings.archive, settings.index_url))


def _has_former_states(settings: Settings) -> bool:
    if not settings.store_url:
        return _refold(settings).is_needed
    try:
        opened: Closeable | None = open_reader(settings)
    except StoreRefused as error:
        raise Misconfigured(
            f"{error}; `cardwatch upgrade` does not replace a store on a server: empty it, run `cardwatch store "
            "rebuild`, and then `cardwatch upgrade` again"
        ) from error
    if opened is not None:
        opened.close()
    return False


def _former_champion(stack: LocalStack) -> ModelVersion | None:
    """Return the champion if it needs other features than this version computes."""
    settings = stack.settings
    if not (stack.is_external("mlflow") or settings.database_url or (settings.home / "mlflow").exists()):
        return None
    stack.start("mlflow")
    with closing(MlflowRegistry(settings.mlflow_url)) as registry:
        champion = registry.alias(CHAMPION)
    return champion if champion is not None and champion.schema_hash != SCHEMA_HASH else None


@contextmanager
def _progress(doing: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a bar on the terminal, which only moves without a total, and yield a function that advances it."""
    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(doing, total=total)
        yield lambda amount: progress.advance(task, amount)
