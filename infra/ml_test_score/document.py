"""docs/ml-test-score.md: the points of every item, counted from the marks of tests and from documented results.

A test is marked with `@pytest.mark.rubric("data-1")`. An item with such a test has one point, however many tests it
has; one with a documented result only has half a point. The sum of a section's points is its score, and the smallest
score is that of the project.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from cardwatch.errors import Misconfigured
from infra.aws.markdown_tables import table
from infra.ml_test_score.rubric import RUBRIC, SECTIONS, RubricItem
from infra.pytest_marks import marked_tests

ROOT: Final = Path(__file__).resolve().parents[2]
SCORE_PAGE: Final = ROOT / "docs" / "ml-test-score.md"

_HEAD: Final = """# ML Test Score

Generated from the marks of the tests by `.venv/bin/python -m infra.ml_test_score`; do not edit.

The ML Test Score asks for 28 things in four sections: E. Breck, S. Cai, E. Nielsen, M. Salib and D. Sculley,
"The ML Test Score: A Rubric for ML Production Readiness and Technical Debt Reduction", IEEE International Conference
on Big Data, 2017. The items are in our own words. An item has one point if a test of `make test` checks it, however
many do (`@pytest.mark.rubric`), half a point if a person measured it with a command that is documented together with
the result, and else none. A section's score is the sum of its points, that of the project the smallest of the four.

This is our own judgement of our own tests, in a simulated world: nobody else has checked it, and no real bank has used
the system. The column on the right says what an item lacks, or where its tests end.
"""


class ScoredItem(Struct, frozen=True):
    """An item with the tests that carry its mark, as (file, function) in the order of the files."""

    item: RubricItem
    tests: tuple[tuple[str, str], ...]

    @property
    def points(self) -> float:
        """0, 0.5 or 1."""
        return 1.0 if self.tests else 0.5 if self.item.documented else 0.0


def scored_items(root: Path = ROOT, rubric: Sequence[RubricItem] = RUBRIC) -> list[ScoredItem]:
    """Return all items of the rubric with the tests below `root` that carry their marks.

    Raises `Misconfigured` if a mark names no item or belongs to no test function, if a documented result's page does
    not exist, or if an item without a full point does not say why.
    """
    tests: dict[str, list[tuple[str, str]]] = {item.name: [] for item in rubric}
    for path in sorted((root / "tests").rglob("test_*.py")):
        for mark in marked_tests(path, root, "rubric"):
            for name in mark.arguments:
                if name not in tests:
                    raise Misconfigured(f"{mark.file}, line {mark.line}: {name!r} is no item of the rubric")
                if not mark.test.startswith("test_"):
                    raise Misconfigured(f"{mark.file}, line {mark.line}: the mark belongs to no test function")
                tests[name].append((mark.file, mark.test))
    scored = [ScoredItem(item, tuple(sorted(set(tests[item.name])))) for item in rubric]
    for each in scored:
        if each.item.documented and not (root / each.item.documented.page).is_file():
            raise Misconfigured(f"{each.item.name}: {each.item.documented.page} does not exist")
        if each.points < 1.0 and not each.item.remark:
            raise Misconfigured(f"{each.item.name} has {each.points:g} points and does not say why")
    return scored


def section_scores(scored: Sequence[ScoredItem]) -> dict[str, float]:
    """Return the sum of the points of each section that has items, by its name in `SECTIONS`, 0 to 7."""
    scores = dict.fromkeys((each.item.section for each in scored), 0.0)
    for each in scored:
        scores[each.item.section] += each.points
    return scores


def score_document(root: Path = ROOT) -> str:
    """Return the text of docs/ml-test-score.md."""
    return "\n".join(_parts(scored_items(root)))


def _parts(scored: Sequence[ScoredItem]) -> Iterator[str]:
    scores = section_scores(scored)
    yield _HEAD
    rows = [[title, f"{scores[section]:g} of 7"] for section, title in SECTIONS.items()]
    yield table(["section", "score"], [*rows, ["**the smallest**", f"**{min(scores.values()):g}**"]], right=[1])
    for section, title in SECTIONS.items():
        yield f"## {title}: {scores[section]:g}\n"
        of_section = [each for each in scored if each.item.section == section]
        yield table(["item", "", "points", "shown by", "missing, or limits"], map(_row, of_section), right=[2])


def _row(scored: ScoredItem) -> list[str]:
    item, documented = scored.item, scored.item.documented
    shown = "<br>".join(f"`{file}`::`{test}`" for file, test in scored.tests)
    if documented and not scored.tests:
        page = documented.page.removeprefix("docs/")
        shown = f"[{page}]({page}): {documented.result} (`{documented.command}`)"
    return [item.name, item.demand, f"{scored.points:g}", shown or "nothing", item.remark]
