"""Replaces the placeholders of texts by figures: `{name}`, or `{name|options}` as `cli.figures` describes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from cli.figures import SourcedFigure, UnknownUnit, shown
from cli.tour.reading import TourError
from cli.tour.schema import TourStop

_S = TypeVar("_S", bound=Struct)
_PLACEHOLDER: Final = re.compile(r"\{([^{}|]*)(?:\|([^{}]*))?\}")
_MARKUP: Final = re.compile(r"\*\*|\]\(|\n#")
_PLAIN: Final = frozenset({"mermaid"})
"""Fields whose text is in a language of its own, so that what looks like markup is none."""


class UsedFigure(Struct, frozen=True):
    """A figure behind a text: its name, how the text shows it, and where it comes from."""

    name: str
    shown: str
    source: str


def resolved(value: _S, name: str, figures: Mapping[str, SourcedFigure]) -> _S:
    """Return a stop, or what stands before them, with its placeholders replaced.

    Raises `TourError` with `name` and the field for an unknown figure or unit, and for text with markup.
    """
    return msgspec.convert(_resolved_value(msgspec.to_builtins(value), name, "", figures), type(value))


def figures_behind(stop: TourStop, figures: Mapping[str, SourcedFigure]) -> list[list[UsedFigure]]:
    """Return the figures in the answer to each question of a stop."""
    return [
        used_figures(question.answer, f"{stop.id}: questions[{at}].answer", figures)
        for at, question in enumerate(stop.questions)
    ]


def resolved_text(text: str, where: str, figures: Mapping[str, SourcedFigure]) -> str:
    """Return a text with its placeholders replaced; `where` begins the message of a `TourError`."""
    written = _PLACEHOLDER.sub(lambda found: _shown(found, where, figures), text)
    if "{" in written or "}" in written:
        raise TourError(f"{where}: a brace is left over: a placeholder is {{name}} or {{name|options}}")
    return written


def used_figures(text: str, where: str, figures: Mapping[str, SourcedFigure]) -> list[UsedFigure]:
    """Return the figures that a text shows, each once, in their order."""
    used: dict[str, UsedFigure] = {}
    for found in _PLACEHOLDER.finditer(text):
        figure_text = _shown(found, where, figures)
        used.setdefault(found[1], UsedFigure(found[1], figure_text, figures[found[1]].source))
    return list(used.values())


def _resolved_value(value: Any, name: str, field: str, figures: Mapping[str, SourcedFigure]) -> Any:
    if isinstance(value, str):
        where = f"{name}: {field}"
        if field.rpartition(".")[2] not in _PLAIN and (found := _MARKUP.search(value)):
            raise TourError(f"{where}: {found[0]!r} is markup; texts have code in back-quotes and no other")
        return resolved_text(value, where, figures)
    if isinstance(value, list):
        return [_resolved_value(each, name, f"{field}[{at}]", figures) for at, each in enumerate(value)]
    if isinstance(value, dict):
        prefix = f"{field}." if field else ""
        return {key: _resolved_value(each, name, f"{prefix}{key}", figures) for key, each in value.items()}
    return value


def _shown(found: re.Match[str], where: str, figures: Mapping[str, SourcedFigure]) -> str:
    name, options = found[1], found[2] or ""
    if name not in figures:
        near = get_close_matches(name, figures, n=3)
        hint = f"; near it are {', '.join(near)}" if near else ""
        raise TourError(f"{where}: there is no figure {name!r}{hint}")
    try:
        return shown(figures[name], options)
    except UnknownUnit as error:
        raise TourError(f"{where}: {found[0]}: {error}") from error
