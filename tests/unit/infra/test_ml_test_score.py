"""The page of the ML Test Score is up to date, and its points follow from the marks of the tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cardwatch.errors import Misconfigured
from infra.ml_test_score.document import SCORE_PAGE, score_document, scored_items, section_scores
from infra.ml_test_score.rubric import RUBRIC, SECTIONS, DocumentedResult, RubricItem

ROOT = Path(__file__).resolve().parents[3]
LEAST = 4.0
TESTED = RubricItem(name="data-1", demand="a", remark="because")
MEASURED = RubricItem(
    name="data-2", demand="b", remark="because", documented=DocumentedResult("docs/a.md", "make a", "a figure")
)
MISSING = RubricItem(name="model-1", demand="c", remark="because")


def repository(root: Path, tests: str, page: str = "docs/a.md") -> Path:
    for path, text in (("tests/unit/test_a.py", tests), (page, "")):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return root


def test_the_published_page_is_up_to_date_with_the_marks() -> None:
    assert SCORE_PAGE.read_text(encoding="utf-8") == score_document(), "run `python -m infra.ml_test_score`"


def test_there_are_seven_items_in_each_of_the_four_sections() -> None:
    names = [item.name for item in RUBRIC]
    assert names == [f"{section}-{number}" for section in SECTIONS for number in range(1, 8)]


def test_every_section_has_at_least_four_points() -> None:
    scores = section_scores(scored_items())
    assert scores.keys() == SECTIONS.keys()
    assert {section: score for section, score in scores.items() if score < LEAST} == {}


def test_every_test_that_gives_a_point_runs_with_the_suite() -> None:
    """A mark on a test that `make test` leaves out would claim that the item is checked on every change."""
    files = {file for each in scored_items() for file, _ in each.tests}
    for file in files:
        text = (ROOT / file).read_text(encoding="utf-8")
        assert not re.search(r"^pytestmark\b.*mark\.(?:long|compose|spark)\b", text, re.MULTILINE), file
        for decorators in re.findall(r"(?:^@.*\n(?:^[ )].*\n)*)+(?=def test_)", text, re.MULTILINE):
            if "mark.rubric(" in decorators:
                assert not re.search(r"mark\.(?:long|compose|spark)\b", decorators), decorators


def test_every_target_and_module_of_a_documented_result_exists() -> None:
    commands = [item.documented.command for item in RUBRIC if item.documented]
    assert commands
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for command in commands:
        if target := re.match(r"make ([a-z-]+)", command):
            assert target[1] in targets, command
        elif module := re.match(r"python -m ([\w.]+)", command):
            assert (ROOT / module[1].replace(".", "/") / "__main__.py").is_file(), command
        elif path := re.match(r"\.venv/bin/python -m pytest (\S+)", command):
            assert (ROOT / path[1]).exists(), command
        else:
            assert command in (ROOT / "docs" / "evaluate.md").read_text(encoding="utf-8"), command


def test_an_item_counts_once_however_many_tests_it_has(tmp_path: Path) -> None:
    marked = '@pytest.mark.rubric("data-1")\ndef test_{}(): ...\n'
    root = repository(
        tmp_path, marked.format("b") + "class TestC:\n" + '    @mark.rubric("data-1")\n    def test_d(self): ...\n'
    )
    scored = scored_items(root, [TESTED, MEASURED, MISSING])
    assert [each.points for each in scored] == [1.0, 0.5, 0.0]
    assert scored[0].tests == (("tests/unit/test_a.py", "test_b"), ("tests/unit/test_a.py", "test_d"))
    assert section_scores(scored) == {"data": 1.5, "model": 0.0}


def test_an_item_that_a_test_shows_is_not_also_counted_by_its_documented_result(tmp_path: Path) -> None:
    root = repository(tmp_path, '@pytest.mark.rubric("data-2")\ndef test_b(): ...\n')
    assert [each.points for each in scored_items(root, [MEASURED])] == [1.0]


def test_one_test_may_show_several_items(tmp_path: Path) -> None:
    root = repository(tmp_path, '@pytest.mark.rubric("data-1", "model-1")\ndef test_b(): ...\n')
    assert [each.points for each in scored_items(root, [TESTED, MISSING])] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("tests", "item", "message"),
    [
        ('\n@pytest.mark.rubric("data-9")\ndef test_b(): ...\n', TESTED, r"test_a\.py, line 2: 'data-9' is no item"),
        ('pytestmark = pytest.mark.rubric("data-1")\n', TESTED, r"line 1: the mark belongs to no test function"),
        ('@mark.rubric("data-1")\ndef helper(): ...\n', TESTED, r"line 1: the mark belongs to no test function"),
        ("", RubricItem(name="data-1", demand="a"), r"data-1 has 0 points and does not say why"),
    ],
    ids=["unknown item", "mark of a module", "mark of a helper", "no reason"],
)
def test_what_would_make_the_page_wrong_is_refused(tmp_path: Path, tests: str, item: RubricItem, message: str) -> None:
    with pytest.raises(Misconfigured, match=message):
        scored_items(repository(tmp_path, tests), [item])


def test_a_documented_result_without_its_page_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"data-2: docs/a\.md does not exist"):
        scored_items(repository(tmp_path, "", page="docs/b.md"), [MEASURED])
