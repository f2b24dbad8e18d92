"""`cardwatch store`: the feature store as a whole, while the stream worker is stopped."""

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

    Stop the stream worker first. When it starts again it folds what the store lacks from the log.
    """


@store.command()
@click.argument("path", type=_FILE)
def snapshot(path: Path) -> None:
    """Write all card states and their place in the log to the file PATH."""
    with open_store(read_settings()) as opened:
        _tell(f"{path} holds", write_snapshot(opened, path))


@store.command()
@click.argument("path", type=_FILE)
def restore(path: Path) -> None:
    """Fill the empty store from the snapshot PATH, of whatever kind of store that was."""
    with open_store(read_settings()) as opened:
        _tell("the store holds", restore_snapshot(path, opened))


@store.command()
def rebuild() -> None:
    """Fold the archived log into the store, as far as it was decided.

    An empty store is made from nothing; one that an interrupted rebuild left goes on where it is.
    """
    settings = read_settings()
    archived = ArchivedLog(settings.archive, settings.index_url)
    with open_store(settings) as opened:
        for partition, stop in sorted(archived.decided().items()):
            begins = opened.applied(partition)
            for part in archived.parts(partition, begins, stop) if begins < stop else ():
                fold_segment(opened, partition, begins, part)
                begins = part.position
            click.echo(f"partition {partition}: applied up to {begins}")


def _tell(what: str, about: Snapshot) -> None:
    places = ", ".join(f"{partition}: {offset}" for partition, offset in sorted(about.applied.items())) or "none"
    click.echo(f"{what} {about.cards:,} cards; the log is folded in up to, by partition, {places}")
