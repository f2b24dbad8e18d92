"""The picture of one update as SVG: three views of a ring of tiles, drawn from states that the kernel computed."""

from __future__ import annotations

from math import cos, pi, sin
from pathlib import Path
from typing import Final

from msgspec import Struct

from cardwatch.features.state import TILES
from cli.features.example import TILE_MS, Ring, worked_update
from cli.templates import render

OUTER, INNER, LABELS = 104.0, 66.0, 125.0
GAP: Final = 0.035
"""Gap between two tiles in radians."""


class Tile(Struct, frozen=True):
    """One tile of a drawn ring: its outline, its CSS class (`plain`, `full`, `leaving`, `new`), and its texts."""

    outline: str
    css_class: str
    count: int
    count_x: float
    count_y: float
    label: str
    label_x: float
    label_y: float


def picture() -> str:
    """Return the SVG document."""
    update = worked_update()
    leaving = [slot for slot in range(TILES) if update.before.starts_at(slot) != update.advanced.starts_at(slot)]
    newest = update.after.newest % TILES
    return render(
        Path(__file__).with_name("update.svg.j2"),
        update=update,
        tile_minutes=TILE_MS // 60_000,
        expired_count=update.before.count - update.advanced.count,
        expired_amount=_money(update.before.amount_minor - update.advanced.amount_minor),
        amount=_money(update.transaction.amount_minor),
        money=_money,
        rings=[
            (update.before, _tiles(update.before, dict.fromkeys(leaving, "leaving"))),
            (update.advanced, _tiles(update.advanced, {})),
            (update.after, _tiles(update.after, {newest: "new"})),
        ],
        times={
            "now": f"{update.transaction.occurred_at:%H:%M}",
            "window": f"{update.advanced.starts_at((update.advanced.newest + 1) % TILES):%H:%M}",
            "leaving": " and ".join(sorted(f"{update.before.starts_at(slot):%H:%M}" for slot in leaving)),
            "newest": f"{update.after.starts_at(newest):%H:%M}",
        },
    )


def _tiles(ring: Ring, classes: dict[int, str]) -> list[Tile]:
    return [
        Tile(
            _outline(slot),
            classes.get(slot, "full" if ring.counts[slot] else "plain"),
            ring.counts[slot],
            *_point(slot + 0.5, (OUTER + INNER) / 2),
            f"{ring.starts_at(slot):%H:%M}",
            *_point(slot + 0.5, LABELS),
        )
        for slot in range(TILES)
    ]


def _point(slots: float, radius: float, turn: float = 0.0) -> tuple[float, float]:
    """Return the point `slots` tiles and `turn` radians clockwise from the top."""
    angle = 2 * pi * slots / TILES + turn
    return round(radius * sin(angle), 1), round(-radius * cos(angle), 1)


def _outline(slot: int) -> str:
    (ax, ay), (bx, by) = _point(slot, OUTER, GAP / 2), _point(slot + 1, OUTER, -GAP / 2)
    (cx, cy), (dx, dy) = _point(slot + 1, INNER, -GAP * 0.75), _point(slot, INNER, GAP * 0.75)
    return f"M{ax} {ay}A{OUTER} {OUTER} 0 0 1 {bx} {by}L{cx} {cy}A{INNER} {INNER} 0 0 0 {dx} {dy}Z"


def _money(minor: int) -> str:
    return f"{minor / 100:.2f}"
