"""The page's types in TypeScript describe the frames and recordings that Python sends."""

from __future__ import annotations

import re
import types
import typing
from enum import Enum
from pathlib import Path

import pytest
from msgspec import Struct
from msgspec.inspect import StructType, type_info

from adapters.cases import shown
from cardwatch.cases import case, history
from cardwatch.live import frames
from cardwatch.progress import DayMonitored
from cli.demo import recorded_decisions, replay

SOURCES = Path(__file__).parents[4] / "services" / "console" / "page" / "src"
_INTERFACE = re.compile(r"export interface (\w+) \{\n(.*?)\n\}", re.DOTALL)
_FIELD = re.compile(r"^  (\w+)\??: (.*?);$", re.MULTILINE)
NAMES_IN_PYTHON = {"Traffic": "TrafficFigures"}
OF_OTHER_MODULES = {"LabelCoverage", "Signal", "DayMonitored"}


def interfaces(file: str) -> dict[str, dict[str, str]]:
    """Interfaces with the type of each field, as they are written."""
    source = (SOURCES / file).read_text(encoding="utf-8")
    return {name: dict(_FIELD.findall(body)) for name, body in _INTERFACE.findall(source)}


def fields(struct: type[Struct]) -> dict[str, object]:
    """Fields with their annotation; a tagged struct has `type` too."""
    found: dict[str, object] = dict(typing.get_type_hints(struct))
    info = type_info(struct)
    assert isinstance(info, StructType)
    return {"type": str, **found} if info.tag is not None else found


def is_optional(annotation: object) -> bool:
    return isinstance(annotation, types.UnionType) and type(None) in typing.get_args(annotation)


FRAMES = {name: body for name, body in interfaces("frames.ts").items() if name not in OF_OTHER_MODULES}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_has_the_same_fields_in_both_languages(name: str) -> None:
    struct = getattr(frames, NAMES_IN_PYTHON.get(name, name))
    assert FRAMES[name].keys() == fields(struct).keys()
    nullable = {field for field, written in FRAMES[name].items() if "| null" in written}
    assert nullable == {field for field, annotation in fields(struct).items() if is_optional(annotation)}


def test_the_page_reads_only_fields_that_a_monitored_day_has() -> None:
    assert interfaces("frames.ts")["DayMonitored"].keys() <= fields(DayMonitored).keys()


@pytest.mark.parametrize(
    ("kind", "values"), [("BoxState", frames.BoxState), ("SystemState", frames.SystemState)], ids=["box", "system"]
)
def test_states_have_the_same_names_in_both_languages(kind: str, values: type[Enum]) -> None:
    source = (SOURCES / "frames.ts").read_text(encoding="utf-8")
    [written] = re.findall(rf"export type {kind} =(.*?);", source, re.DOTALL)
    assert set(re.findall(r'"([^"]*)"', written)) == {value.value for value in values}


def test_boxes_are_the_same_in_both_languages() -> None:
    source = (SOURCES / "frames.ts").read_text(encoding="utf-8")
    [written] = re.findall(r"export const BOXES = \[(.*?)\]", source, re.DOTALL)
    assert tuple(re.findall(r'"([^"]*)"', written)) == frames.BOXES


@pytest.mark.parametrize(
    ("name", "struct"),
    [
        ("RecordedDecisions", recorded_decisions.RecordedDecisions),
        ("ResultTable", replay.ResultTable),
        ("Recording", replay.Recording),
    ],
)
def test_the_page_reads_only_fields_that_a_recording_has(name: str, struct: type[Struct]) -> None:
    assert interfaces("replay/recording.ts")[name].keys() <= fields(struct).keys()


@pytest.mark.parametrize(
    ("name", "struct"),
    [
        ("ShownCase", shown.ShownCase),
        ("CaseHistory", shown.CaseHistory),
        ("CasePage", shown.CasePage),
        ("QueueCounts", shown.QueueCounts),
        ("CaseLabel", case.CaseLabel),
        ("CaseAction", history.CaseAction),
    ],
)
def test_a_case_has_the_same_fields_in_both_languages(name: str, struct: type[Struct]) -> None:
    written = interfaces("cases/case_calls.ts")[name]
    assert written.keys() == fields(struct).keys()
    nullable = {field for field, text in written.items() if "| null" in text}
    assert nullable == {field for field, annotation in fields(struct).items() if is_optional(annotation)}


def test_a_recorded_decision_has_its_fields_in_the_same_order_in_both_languages() -> None:
    source = (SOURCES / "replay/recording.ts").read_text(encoding="utf-8")
    [written] = re.findall(r"export type RecordedDecision = \[(.*?)\n\]", source, re.DOTALL)
    labels = re.findall(r"^  (\w+):", written, re.MULTILINE)
    as_in_python = [re.sub(r"(?<!^)([A-Z])", r"_\1", label).lower() for label in labels]
    assert as_in_python == list(recorded_decisions.RecordedDecision.__struct_fields__)
