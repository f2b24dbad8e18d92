"""The tour with its figures, and `docs/whiteboard.md` of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from cli.figures import SourcedFigure
from cli.templates import render
from cli.tour.reading import TALK_MINUTES, read_overview, read_stops
from cli.tour.resolving import figures_behind, resolved
from infra.aws.markdown_tables import table

_DOCS: Final = "docs/"


def tour_data(figures: Mapping[str, SourcedFigure]) -> dict[str, Any]:
    """Return the tour with its figures as plain values: what the page and `cli.tour.page_data` show.

    Each question has its `number` from 1 on and, in `figures`, the name, the text and the source of every figure of its
    answer. Raises `TourError` with file and field.
    """
    stops, number = [], 0
    for stop in read_stops():
        plain = msgspec.to_builtins(resolved(stop, stop.id, figures))
        for question, used in zip(plain["questions"], figures_behind(stop, figures), strict=True):
            number += 1
            question |= {"number": number, "figures": msgspec.to_builtins(used)}
        stops.append(plain)
    overview = msgspec.to_builtins(resolved(read_overview(), "overview", figures))
    return {
        "talk_minutes": TALK_MINUTES,
        "minutes": sum(stop["minutes"] for stop in stops),
        "overview": overview,
        "stops": stops,
    }


def document(data: Mapping[str, Any]) -> str:
    """Return docs/whiteboard.md."""
    titles = {each["box"]: each["title"] for each in data["overview"]["boxes"]}
    page = render(
        Path(__file__).with_name("whiteboard.md.j2"),
        tour=data,
        overview=data["overview"],
        stops=data["stops"],
        plan=_plan(data["stops"]),
        titles=titles,
        anchor=anchor,
        link=link,
        table=lambda each: table(each["head"], each["rows"]),
    )
    return re.sub(r"\n{3,}", "\n\n", page)


def anchor(title: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def link(path: str) -> str:
    """Return a Markdown link from a page in docs to a file or folder of the repository."""
    target = path.removeprefix(_DOCS) if path.startswith(_DOCS) else f"../{path}"
    return f"[{path.removeprefix(_DOCS)}]({target})"


def _plan(stops: list[dict[str, Any]]) -> str:
    rows, begin = [], 0
    for at, stop in enumerate(stops, 1):
        title = f"{at}. {stop['title']}"
        end = begin + stop["minutes"]
        rows.append([f"[{title}](#{anchor(title)})", f"{begin} to {end}", stop["purpose"]])
        begin = end
    return table(("stop", "minutes", "what the listener knows after it"), rows)
