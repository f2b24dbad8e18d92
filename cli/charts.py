"""Charts as SVG that lives inside a page: its text, its fonts and its colours are the page's.

Matplotlib draws with colours that stand for CSS variables of `report_base.html.j2`, so that one picture serves light
and dark mode.
"""

from __future__ import annotations

import io
import re
from typing import Any, Final

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure
from msgspec import Struct

INK, QUIET, GRID, CAUGHT, MISSED, ALARM = "#010101", "#020202", "#030303", "#040404", "#050505", "#060606"
SERIES: Final = ("#0a0a01", "#0a0a02", "#0a0a03", "#0a0a04")
"""Colours of things of one kind, such as model versions."""
_VARIABLES: Final = {
    INK: "--ink",
    QUIET: "--quiet",
    GRID: "--grid",
    CAUGHT: "--caught",
    MISSED: "--missed",
    ALARM: "--alarm",
    **{colour: f"--series-{number}" for number, colour in enumerate(SERIES, 1)},
}
_STYLE: Final = {
    "svg.fonttype": "none",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": QUIET,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "ytick.major.size": 0,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}
WIDTH, HEIGHT = 8.6, 3.0
"""Inches of a chart that is as wide as the page."""
_NOT_FOR_A_PAGE: Final = re.compile(
    r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->"  # whole elements
    r"| xmlns(:\w+)?=\"[^\"]*\"| id=\"[\w.]+_\d+\"| (width|height)=\"[\d.]+pt\"|font-family: [^;\"]*;? ?",  # attributes
    re.DOTALL,
)


class Plot(Struct, frozen=True):
    """A figure with its caption and reading instructions. `key` maps colour variables to their meaning."""

    title: str
    svg: str
    alt: str
    caption: str
    key: list[tuple[str, str]] = []


def new_figure(name: str, height: float = HEIGHT, width: float = WIDTH, **grid: Any) -> tuple[Any, Any]:
    """Return an empty figure in the style of the page, in inches, and its axes. `grid`: see matplotlib's `subplots`."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.set_label(name)
        return figure, figure.subplots(**grid)


def as_svg(figure: Any) -> Markup:
    """Return the figure as an SVG element that templates do not escape: the same bytes for the same figure."""
    out = io.StringIO()
    with mpl.rc_context({**_STYLE, "svg.hashsalt": figure.get_label()}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    drawn = _NOT_FOR_A_PAGE.sub("", out.getvalue())
    for colour, variable in _VARIABLES.items():
        drawn = drawn.replace(colour, f"var({variable})")
    return Markup(drawn.strip())  # noqa: S704 (drawn here; matplotlib escapes the texts in it)


def variable_of(colour: str) -> str:
    """Return the CSS variable of a colour, without its dashes."""
    return _VARIABLES[colour].removeprefix("--")
