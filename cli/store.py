"""`cardwatch store`: snapshots and rebuilds of the feature store while the stream worker is stopped."""

from __future__ import annotations

from pathlib import Path

import click

from adapters.archive.archived_log import ArchivedLog
from adapters.feature_store.open import open_store
from adapters.feature_store.snapshots import Snapshot, restore_snapshot, write_snapshot
from adapters.runtime.settings import read_settings
from cardwatch.features.log_segment import fold_segment

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def store() -> None:
    """Snapshot, restore or rebuild the feature store that CARDWATCH_STORE_URL names, or the embedded one.

    Stop the stream worker first. After its restart it folds the missing part of the log into the store.
    """


@store.command()
@click.argument("path", type=_FILE)
def snapshot(path: Path) -> None:
    """Write all card states and their offsets to the file PATH."""
    with open_store(read_settings()) as opened:
        _print_summary(f"{path} has", write_snapshot(opened, path))


@store.command()
@click.argument("path", type=_FILE)
def restore(path: Path) -> None:
    """Fill the empty store from the snapshot PATH, which may be of another type of store."""
    with open_store(read_settings()) as opened:
        _print_summary("the store has", restore_snapshot(path, opened))


@store.command()
def rebuild() -> None:
    """Fold the decided part of the archived log into the store.

    An empty store is rebuilt from the beginning; an interrupted rebuild is continued.
    """
    settings = read_settings()
    archived = ArchivedLog(settings.archive, settings.index_url)
    with open_store(settings) as opened:
        for partition, stop in sorted(archived.decided().items()):
            position = opened.applied(partition)
            for part in archived.parts(partition, position, stop) if position < stop else ():
                fold_segment(opened, partition, position, part)
                position = part.position
            click.echo(f"partition {partition}: applied up to {position}")


def _print_summary(prefix: str, snapshot: Snapshot) -> None:
    offsets = ", ".join(f"{partition}: {offset}" for partition, offset in sorted(snapshot.applied.items())) or "none"
    click.echo(f"{prefix} {snapshot.cards:,} cards; applied offsets by partition: {offsets}")
