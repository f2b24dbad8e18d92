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
        ("    yearly: 0.1\n", "", "line 2: yearly: this field is missing; see docs/simulation.md"),
        (
            "yearly: 0.1",
            "yearly: 0.1\n    yearly: 0.2",
            "line 6: not valid YAML: the key 'yearly' is there twice: remove one of them",
        ),
        ("typology: bust_out", "typology: magic", "line 7: typology 'magic' is none of card_testing"),
        (
            "kind: inflation",
            "kind: deflation",
            "line 2: kind: Invalid value 'deflation': it is one of new_typology, fraud_prevalence",
        ),
        (
            "yearly: 0.1",
            "yearly: 0.1\n    speed: 3",
            "line 6: speed: there is no such field, only name, from_day, until_day",
        ),
        ("events:", "changes:", "line 1: it needs one key, 'events', with a list of events; see docs/simulation.md"),
        (RIGHT, RIGHT + "more: 3", "line 8: it needs one key, 'events'"),
        ("- {kind", "- [kind", "line 7: not valid YAML"),
        (RIGHT, "events: soon", "line 1: events: it is not a list"),
        (RIGHT, "", "line 1: it needs one key, 'events'"),
        (RIGHT, "!!set {events}", "line 1: it needs one key, 'events'"),
        (RIGHT, "events:\n  - soon\n", "line 2: Expected `object`, got `str`"),
        ("from_day: 3", "from_day: 2025-13-45", "line 4: from_day: Expected `int`, got `str`"),
        ("from_day: 3", "from_day: 2025-01-13", "line 4: from_day: Expected `int`, got `str`"),
        ("from_day: 3", "from_day: 3\n    until_day: 9", "line 5: until_day 9 has no meaning for this kind of event"),
        ("from_day: 5, ", "from_day: 5,\n    until_day: 5,\n    ", "line 8: until_day 5 must be after from_day 5"),
        ("dearer", "a\0b", "line 3: not valid YAML: the character U+0000 is not allowed: remove it"),
        ("dearer", r'"\ud800"', "line 3: not valid YAML: '\\ud800' has half of a surrogate pair"),
        ("dearer", r'"\UFFFFFFFF"', "line 3: not valid YAML: a tag or an escaped character cannot be read"),
        ("yearly: 0.1", "yearly: !!float often", "line 5: not valid YAML: 'often' cannot be read as float"),
        ("yearly: 0.1", "yearly: 0x_", "line 5: not valid YAML: '0x_' cannot be read as int"),
        (
            "yearly: 0.1",
            f"yearly: {'1' * 5_000}",
            "line 5: not valid YAML: '1111111111111111111111111111111111111111...'",
        ),
        ("yearly: 0.1", "yearly: 0.1\n    1: 2", "line 6: not valid YAML: the key '1' is no name"),
        ("yearly: 0.1", f"yearly: {'[' * 5_000}", "line 5: not valid YAML: more than 20 levels of nesting"),
        (RIGHT, f"events:\n{'- ' * 5_000}", "line 2: not valid YAML: more than 20 levels of nesting"),
        (RIGHT, "events: &all [*all]", "line 1: Expected `object`, got `array`"),
        (RIGHT, "a: b: c", "line 1: not valid YAML: mapping values are not allowed here"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = written(tmp_path, RIGHT.replace(old, new))
    with pytest.raises(Misconfigured) as refused:
        read_timeline(file)
    assert str(refused.value).startswith(f"timeline {file}: {message}")


def test_a_field_that_is_merged_is_told_with_its_own_line(tmp_path: Path) -> None:
    """A merged field can be replaced, and is looked for where it is written."""
    text = """events:
  - &base
    kind: fraud_prevalence
    name: first
    from_day: 3
    until_day: 9
    is_harmful: true
    ratio: 2
  - <<: *base
    name: second
    from_day: 4
"""
    first, second = read_timeline(written(tmp_path, text))
    assert (first.name, first.from_day, second.name, second.from_day) == ("first", 3, "second", 4)
    for old, new, line in (("    from_day: 4", "    from_day: -4", 11), ("    from_day: 4", "    from_day: 10", 6)):
        with pytest.raises(Misconfigured, match=f": line {line}: "):
            read_timeline(written(tmp_path, text.replace(old, new)))


def test_events_that_multiply_too_much_together_are_told_with_the_line_of_the_later_one(tmp_path: Path) -> None:
    text = """events:
  - {kind: unit_change, name: mills, from_day: 8, ratio: 200, is_harmful: true}
  - {kind: unit_change, name: tens, from_day: 5, ratio: 100, is_harmful: true}
"""
    with pytest.raises(Misconfigured, match=r"line 2: ratio of unit_change: 'mills' .200. and 'tens' .100. are"):
        read_timeline(written(tmp_path, text))


def test_merged_keys_in_a_long_chain_are_refused(tmp_path: Path) -> None:
    chain = "".join(f"  - {{deep: &m{number} {{<<: *m{number - 1}}}}}\n" for number in range(1, 3_000))
    text = f"events:\n  - {{deep: &m0 {{name: x}}}}\n{chain}  - {{<<: *m2999}}\n"
    with pytest.raises(Misconfigured, match="keys that are merged by '<<' follow each other too often"):
        read_timeline(written(tmp_path, text))


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    file = tmp_path / "timeline.yaml"
    file.write_bytes(b"events:\n- \xff\xfe\x00")
    with pytest.raises(Misconfigured, match="line 2: is not UTF-8 text: save the file in that encoding"):
        read_timeline(file)
    with pytest.raises(Misconfigured, match="cannot be read"):
        read_timeline(tmp_path)
