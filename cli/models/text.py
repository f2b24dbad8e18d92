"""The tables of `cardwatch models`."""

from __future__ import annotations

from rich.table import Table

from adapters.move_log.overview import ModelsOverview
from cardwatch.events import from_epoch_ms


def tables_of(overview: ModelsOverview, moves: int) -> list[Table]:
    """Return a table of the versions, and one of the newest moves if there are any."""
    versions = Table("version", "stage", "verdict", "average precision", "trained until", "judged", box=None)
    for line in overview.versions:
        share = f", {line.share:.0%} of the cards" if line.share else ""
        judged = f"{line.judged_from} to {line.judged_until}" if line.judged_from else ""
        versions.add_row(
            line.version,
            f"{line.stage or ''}{share}",
            line.verdict or "",
            line.average_precision or "",
            line.trained_until or "",
            judged,
        )
    newest = overview.moves[-moves:] if moves else []
    if not newest:
        return [versions]
    table = Table("move", "when", "what", "version", "by", "why", box=None, title="moves", title_justify="left")
    for move in reversed(newest):
        when = f"{from_epoch_ms(move.at_ms):%Y-%m-%d %H:%M:%S}" + (f", day {move.day}" if move.day else "")
        what = f"{move.kind} {move.share:.0%}" if move.share else str(move.kind)
        table.add_row(str(move.number), when, what, move.version, move.actor, move.reason)
    return [versions, table]
