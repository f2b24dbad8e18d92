"""Timeline files, and the words for those that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from cardwatch.errors import Misconfigured
from cardwatch.simulation.timeline import Inflation, NewTypology
from cli.simulate.timeline_file import read_timeline

EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "timelines").glob("*.yaml"))
RIGHT = """events:
  - kind: inflation
    name: dearer
    from_day: 3
    yearly: 0.1
    is_harmful: false
  - {kind: new_typology, name: ring, from_day: 5, typology: bust_out, share: 0.01, is_harmful: true}
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "timeline.yaml"
    file.write_text(text)
    return file


def test_a_file_gives_its_events_in_order(tmp_path: Path) -> None:
    assert read_timeline(written(tmp_path, RIGHT)) == (
        Inflation(name="dearer", from_day=3, yearly=0.1, is_harmful=False),
        NewTypology(name="ring", from_day=5, typology="bust_out", share=0.01, is_harmful=True),
    )
    assert read_timeline(written(tmp_path, "events: []")) == ()


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_the_examples_can_be_read(file: Path) -> None:
    assert read_timeline(file)


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("yearly: 0.1", "yearly: often", "line 5: yearly: Expected `float`, got `str`"),
        ("from_day: 3", "from_day: -3", "line 4: from_day: Expected `int` >= 0"),
        ("    yearly: 0.1\n", "", "line 2: Object missing required field `yearly`"),
        ("yearly: 0.1", "yearly: 0.1\n    yearly: 0.2", "line 6: yearly: it is there twice"),
        ("typology: bust_out", "typology: magic", "line 7: typology 'magic' is none of card_testing"),
        ("kind: inflation", "kind: deflation", "line 2: kind: Invalid value 'deflation'"),
        ("yearly: 0.1", "yearly: 0.1\n    speed: 3", "line 2: Object contains unknown field `speed`"),
        ("events:", "changes:", "needs one key, 'events', with a list of events"),
        ("- {kind", "- [kind", "line 7: not valid YAML"),
        (RIGHT, "events: soon", "line 1: 'events' is not a list"),
        (RIGHT, "", "needs one key, 'events'"),
        (RIGHT, "events:\n  - soon\n", "line 2: Expected `object`, got `str`"),
        (RIGHT, "a: b: c", "line 1: not valid YAML: mapping values are not allowed here"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = written(tmp_path, RIGHT.replace(old, new))
    with pytest.raises(Misconfigured) as refused:
        read_timeline(file)
    assert str(refused.value).startswith(f"timeline {file}: {message}")


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    file = tmp_path / "timeline.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Misconfigured, match="is not UTF-8 text"):
        read_timeline(file)
    with pytest.raises(Misconfigured, match="cannot be read"):
        read_timeline(tmp_path)
