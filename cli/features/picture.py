"""The picture of one update, as SVG: three views of a ring of tiles, drawn from states that the kernel made."""

from __future__ import annotations

from math import cos, pi, sin
from pathlib import Path
from typing import Final

import jinja2
from msgspec import Struct

from cardwatch.features.state import TILES
from cli.features.example import TILE_MS, Ring, Update, worked_update

OUTER, INNER, LABELS = 104.0, 66.0, 125.0
GAP: Final = 0.035
"""Radians between two tiles."""


class Tile(Struct, frozen=True):
    """One tile of a drawn ring: its outline, how it looks (`plain`, `full`, `leaving`, `new`), and what is on it."""

    outline: str
    look: str
    count: int
    count_x: float
    count_y: float
    label: str
    label_x: float
    label_y: float


def picture() -> str:
    """The whole SVG document."""
    update = worked_update()
    leaving = [slot for slot in range(TILES) if update.before.starts_at(slot) != update.moved.starts_at(slot)]
    newest = update.after.newest % TILES
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("update.svg.j2").render(
        update=update,
        tile_minutes=TILE_MS // 60_000,
        gone_count=update.before.count - update.moved.count,
        gone_amount=_money(update.before.amount_minor - update.moved.amount_minor),
        amount=_money(update.transaction.amount_minor),
        money=_money,
        rings=[
            (update.before, _tiles(update.before, dict.fromkeys(leaving, "leaving"))),
            (update.moved, _tiles(update.moved, {})),
            (update.after, _tiles(update.after, {newest: "new"})),
        ],
        times=_times(update, leaving),
    )


def _times(update: Update, leaving: list[int]) -> dict[str, str]:
    return {
        "now": f"{update.transaction.occurred_at:%H:%M}",
        "window": f"{update.moved.starts_at((update.moved.newest + 1) % TILES):%H:%M}",
        "leaving": " and ".join(sorted(f"{update.before.starts_at(slot):%H:%M}" for slot in leaving)),
        "newest": f"{update.after.starts_at(update.after.newest % TILES):%H:%M}",
    }


def _tiles(ring: Ring, looks: dict[int, str]) -> list[Tile]:
    return [
        Tile(
            _outline(slot),
            looks.get(slot, "full" if ring.counts[slot] else "plain"),
            ring.counts[slot],
            *_point(slot + 0.5, (OUTER + INNER) / 2),
            f"{ring.starts_at(slot):%H:%M}",
            *_point(slot + 0.5, LABELS),
        )
        for slot in range(TILES)
    ]


def _point(slots: float, radius: float, turn: float = 0.0) -> tuple[float, float]:
    """So many tiles clockwise from the top, and `turn` radians more."""
    angle = 2 * pi * slots / TILES + turn
    return round(radius * sin(angle), 1), round(-radius * cos(angle), 1)


def _outline(slot: int) -> str:
    (ax, ay), (bx, by) = _point(slot, OUTER, GAP / 2), _point(slot + 1, OUTER, -GAP / 2)
    (cx, cy), (dx, dy) = _point(slot + 1, INNER, -GAP * 0.75), _point(slot, INNER, GAP * 0.75)
    return f"M{ax} {ay}A{OUTER} {OUTER} 0 0 1 {bx} {by}L{cx} {cy}A{INNER} {INNER} 0 0 0 {dx} {dy}Z"


def _money(minor: int) -> str:
    return f"{minor / 100:.2f}"
