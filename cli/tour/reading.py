"""Reads the stops of the tour from `docs/tour`, a YAML file each, in the order of the files' names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from cardwatch.errors import Misconfigured
from cli.tour.schema import TourOverview, TourStop
from cli.yaml_text import TypedLoader, load_yaml, read_text

ROOT: Final = Path(__file__).resolve().parents[2]
TOUR: Final = ROOT / "docs" / "tour"
TALK_MINUTES: Final = 45
_STOPS: Final = "[0-9][0-9]-*.yaml"
_T = TypeVar("_T")


class TourError(Misconfigured):
    """A file of the tour that cannot be used. The message names file and field."""


def read_stops(folder: Path = TOUR) -> list[TourStop]:
    """Return the stops; raise `TourError` for a file that does not fit the schema, or stops that do not fit a talk."""
    paths = sorted(folder.glob(_STOPS))
    if not paths:
        raise TourError(f"{folder}: there are no stops, files like 01-requirements.yaml")
    stops = [_checked(read_as(path, TourStop), path) for path in paths]
    if len({stop.id for stop in stops}) < len(stops):
        raise TourError(f"{folder}: two stops have the same id")
    if (minutes := sum(stop.minutes for stop in stops)) > TALK_MINUTES:
        raise TourError(
            f"{folder}: the stops take {minutes} minutes, and the talk has {TALK_MINUTES}: shorten `minutes`"
        )
    return stops


def read_overview(folder: Path = TOUR) -> TourOverview:
    """Return what stands before the stops, or raise `TourError`."""
    return read_as(folder / "overview.yaml", TourOverview)


def read_as(path: Path, type_: type[_T]) -> _T:
    """Return what a YAML file holds as `type_`, or raise `TourError` with file and field."""
    value = load_yaml(read_text(path, path.name, TourError), path.name, TypedLoader, TourError).value
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `")
        raise TourError(f"{path.name}: {field_name(place) or 'the file'}: {problem}") from error


def field_name(place: str) -> str:
    """Return msgspec's place of an error, such as `$.questions[0].ask`, as the name of a field."""
    return re.sub(r"^\$\.?", "", place.rstrip("`"))


def _checked(stop: TourStop, path: Path) -> TourStop:
    for at, table in enumerate(stop.tables):
        for row in table.rows:
            if len(row) != len(table.head):
                raise TourError(
                    f"{path.name}: tables[{at}].rows: {row[0]!r} has {len(row)} cells, the head has {len(table.head)}"
                )
    for field, cited in cited_files(stop):
        if not (ROOT / cited).exists():
            raise TourError(f"{path.name}: {field}: there is no file {cited} in the repository")
    return stop


def cited_files(stop: TourStop) -> list[tuple[str, str]]:
    """Return each file that a stop cites, after the name of the field that does."""
    questions = [
        (f"questions[{at}].see", cited) for at, question in enumerate(stop.questions) for cited in question.see
    ]
    return questions + [(f"rejected[{at}].page", each.page) for at, each in enumerate(stop.rejected)]
