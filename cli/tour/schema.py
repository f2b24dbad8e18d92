"""The tour as data: the stops of a talk about the system at a whiteboard, as `docs/tour` holds them.

Texts are plain, with code in back-quotes as the only markup, so that a page and Markdown can show them alike. Figures
in them are placeholders such as `{bench.stream_rate}`, which `cli.tour.resolving` replaces.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

BoxName = Literal["generator", "kafka", "stream", "store", "scoring", "archive", "monitor", "pipelines", "mlflow"]
"""A box of the console's diagram, in the order of the data."""
Text = Annotated[str, Meta(min_length=1)]
Texts = Annotated[list[Text], Meta(min_length=1)]


class TourQuestion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question of an interviewer and a strong answer.

    `see` are files of the repository that hold the answer: code, tests or pages.
    """

    ask: Text
    answer: Text
    see: Texts


class FollowUp(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A further question, with the point that its answer must make."""

    ask: Text
    point: Text


class RejectedAlternative(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was not chosen: why, when it would be right, and the page about what was chosen instead."""

    instead: Text
    because: Text
    right_when: Text
    page: Text


class TourRubric(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What tells a senior from a staff engineer at a stop: statements to score oneself by."""

    senior: Texts
    staff: Texts


class TourTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table; every row has as many cells as the head. `note` stands below it."""

    title: Text
    head: Annotated[list[str], Meta(min_length=2)]
    rows: Annotated[list[list[str]], Meta(min_length=1)]
    note: str = ""


class TourDrawing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A drawing in Mermaid's language, without braces."""

    title: Text
    mermaid: Text


class TourStop(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stop of the talk.

    `purpose` is what the listener knows after it, `draw` what to draw or point at, `boxes` the boxes of the diagram
    that it is about, `notes` what to say. The first of `questions` is what an interviewer asks here. `limits` are what
    is not built or was not measured.
    """

    id: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]*$")]
    title: Text
    minutes: Annotated[int, Meta(ge=1, le=10)]
    purpose: Text
    draw: Texts
    boxes: list[BoxName]
    notes: Texts
    questions: Annotated[list[TourQuestion], Meta(min_length=1)]
    follow_ups: Annotated[list[FollowUp], Meta(min_length=1)]
    rubric: TourRubric
    rejected: list[RejectedAlternative] = []
    tables: list[TourTable] = []
    drawings: list[TourDrawing] = []
    limits: list[Text] = []


class TourBox(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A box of the diagram: what it does, why it is so, and what follows from its failure."""

    box: BoxName
    title: Text
    does: Text
    why: Text
    failure: Text


class TourOverview(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands before the stops: how to use the tour, the drawing of the whole system, and its boxes."""

    introduction: Texts
    drawing: TourDrawing
    boxes: Annotated[list[TourBox], Meta(min_length=1)]
