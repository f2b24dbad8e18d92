"""A file of the tour that does not fit the schema is refused, with file and field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.tour.reading import TourError, field_name, read_stops


def stop(**changed: Any) -> dict[str, Any]:
    """A stop that is accepted, with some fields replaced."""
    return {
        "id": "labels",
        "title": "Labels",
        "minutes": 3,
        "purpose": "Why labels are late.",
        "draw": ["A time line."],
        "boxes": ["kafka"],
        "notes": ["A label has two times."],
        "questions": [{"ask": "Why?", "answer": "Because.", "see": ["README.md"]}],
        "follow_ups": [{"ask": "And?", "point": "So."}],
        "rubric": {"senior": ["Knows it."], "staff": ["Proves it."]},
    } | changed


def written(folder: Path, *stops: dict[str, Any]) -> Path:
    for at, each in enumerate(stops, 1):
        (folder / f"{at:02}-stop.yaml").write_text(yaml.safe_dump(each), encoding="utf-8")
    return folder


def test_stops_are_read_in_the_order_of_their_files(tmp_path: Path) -> None:
    folder = written(tmp_path, stop(id="requirements"), stop(id="labels"))
    assert [each.id for each in read_stops(folder)] == ["requirements", "labels"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"minutes": "three"}, r"01-stop\.yaml: minutes: Expected `int`, got `str`"),
        ({"minutes": 0}, r"01-stop\.yaml: minutes: Expected `int` >= 1"),
        ({"boxes": ["kafka", "flink"]}, r"01-stop\.yaml: boxes\[1\]: Invalid enum value 'flink'"),
        ({"colour": "red"}, r"01-stop\.yaml: the file: .*unknown field `colour`"),
        ({"questions": []}, r"01-stop\.yaml: questions: Expected `array` of length >= 1"),
        (
            {"questions": [{"ask": "Why?", "see": ["README.md"]}]},
            r"01-stop\.yaml: questions\[0\]: .*missing required field `answer`",
        ),
        (
            {"questions": [{"ask": "Why?", "answer": "So.", "see": ["docs/gone.md"]}]},
            r"01-stop\.yaml: questions\[0\]\.see: there is no file docs/gone\.md",
        ),
        (
            {"rejected": [{"instead": "A", "because": "B", "right_when": "C", "page": "docs/gone.md"}]},
            r"01-stop\.yaml: rejected\[0\]\.page: there is no file docs/gone\.md",
        ),
        (
            {"tables": [{"title": "T", "head": ["a", "b"], "rows": [["1", "2"], ["3"]]}]},
            r"01-stop\.yaml: tables\[0\]\.rows: '3' has 1 cells, the head has 2",
        ),
    ],
)
def test_a_stop_that_does_not_fit_is_refused_with_file_and_field(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(TourError, match=message):
        read_stops(written(tmp_path, stop(**changed)))


def test_text_that_is_no_yaml_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "01-stop.yaml").write_text("id: labels\ntitle: [", encoding="utf-8")
    with pytest.raises(TourError, match=r"01-stop\.yaml: line \d: not valid YAML"):
        read_stops(tmp_path)


def test_stops_that_take_longer_than_a_talk_are_refused(tmp_path: Path) -> None:
    stops = [stop(id=f"stop-{number}", minutes=10) for number in range(5)]
    with pytest.raises(TourError, match="take 50 minutes, and the talk has 45"):
        read_stops(written(tmp_path, *stops))


def test_two_stops_with_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TourError, match="same id"):
        read_stops(written(tmp_path, stop(), stop()))


def test_a_folder_without_stops_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TourError, match="there are no stops"):
        read_stops(tmp_path)


def test_a_place_of_msgspec_becomes_the_name_of_a_field() -> None:
    assert [field_name(place) for place in ("$.a[0].b`", "$`", "")] == ["a[0].b", "", ""]
