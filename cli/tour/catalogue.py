"""All figures that a text of the tour may name. Each has one source, and nothing here is typed by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final

from msgspec import Struct

from cli.figures import SourcedFigure
from cli.tour.designed import capacity_figures, constant_figures
from cli.tour.measured import benchmark_figures, demo_figures, study_figures
from cli.tour.reading import ROOT, TOUR, TourError, read_as
from cli.tour.schema import Text

QUOTED: Final = TOUR / "quoted.yaml"
_NUMBER: Final = r"[+-]?\d+(?:,\d{3})*(?:\.\d+)?"


class QuotedPlace(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a page states a figure whose measurement is in no file of results: a text of the page with `#` for it.

    `~` in the text stands for any other number.
    `unit` is that of the figure, or empty; `%` makes a share of it.
    """

    page: Text
    text: Text
    unit: str = ""


def figures() -> dict[str, SourcedFigure]:
    """Return every figure by its name: `bench.`, `demo.`, `code.`, `kafka.`, `aws.`, `quoted.` and names of studies."""
    return dict(
        chain(
            benchmark_figures(), study_figures(), demo_figures(), constant_figures(), capacity_figures(),
            quoted_figures(),
        )
    )  # fmt: skip


def quoted_figures(file: Path = QUOTED) -> Iterator[tuple[str, SourcedFigure]]:
    """Yield `quoted.NAME` of each place; raise `TourError` unless a page has the text exactly once."""
    for name, place in read_as(file, dict[str, QuotedPlace]).items():
        path = ROOT / place.page
        if not path.is_file():
            raise TourError(f"{file.name}: {name}.page: there is no file {place.page} in the repository")
        page = " ".join(path.read_text(encoding="utf-8").split())
        found = re.findall(re.escape(place.text).replace(r"\~", _NUMBER).replace(r"\#", f"({_NUMBER})"), page)
        if len(found) != 1:
            raise TourError(f"{file.name}: {name}.text: {place.page} has {len(found)} places like {place.text!r}")
        text = found[0].replace(",", "")
        value = float(text) if "." in text or place.unit == "%" else int(text)
        share = place.unit == "%"
        yield f"quoted.{name}", SourcedFigure(value / 100 if share else value, "" if share else place.unit, place.page)
