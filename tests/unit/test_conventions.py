"""Conventions that hold for the whole repository: names, sizes, links."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES, MAX_TEST_LINES, MAX_README_LINES = 400, 500, 150

# Old names that a user may know; what is new has no place here.
HISTORICAL = ("CHANGELOG.md",)


def tracked(*patterns: str) -> list[Path]:
    """Tracked files that match the patterns and exist."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("NOT RUN: this is not a git checkout", allow_module_level=True)
    listed = subprocess.run([git, "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.splitlines() if (ROOT / name).is_file()]


SOURCES = [path for path in tracked("*.py") if "tests" not in path.relative_to(ROOT).parts]
TESTS = tracked("tests/*.py")
PAGES = [path for path in tracked("*.md") if path.name not in HISTORICAL]


def test_no_two_classes_share_a_name() -> None:
    classes: defaultdict[str, list[str]] = defaultdict(list)
    for path in SOURCES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                classes[node.name].append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in classes.items() if len(paths) > 1} == {}


@pytest.mark.parametrize(("paths", "limit"), [(SOURCES, MAX_LINES), (TESTS, MAX_TEST_LINES)], ids=["code", "tests"])
def test_files_stay_short(paths: list[Path], limit: int) -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    assert {name: lines for name, lines in lengths.items() if lines > limit} == {}


def test_whole_bounds_of_fields_are_written_without_decimals() -> None:
    """`typing` keeps one of two equal annotations, so with 0 and 0.0 a published schema depends on what is imported."""
    decimals = re.compile(r"Meta\([^()]*\b[gl][te]=-?\d+\.0\b")
    found = [str(path.relative_to(ROOT)) for path in SOURCES if decimals.search(path.read_text(encoding="utf-8"))]
    assert found == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= MAX_README_LINES


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_and_path_in_a_page_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    lost = [target for target in links(text) if not (page.parent / target).exists()]
    lost += [path for path in paths_in_code(text) if not (ROOT / path).exists()]
    assert lost == []


def test_every_module_named_in_a_docstring_exists() -> None:
    packages = "cardwatch|adapters|models|monitoring|services|pipelines|infra|cli|benchmarks"
    lost = []
    for path in SOURCES:
        for name in re.findall(rf"`((?:{packages})(?:\.\w+)+)`", path.read_text(encoding="utf-8")):
            if not any(exists(name.split(".")[:length]) for length in range(len(name.split(".")), 1, -1)):
                lost.append(f"{path.relative_to(ROOT)}: {name}")
    assert lost == []


def exists(parts: list[str]) -> bool:
    """Whether the parts name a module or a package."""
    place = ROOT.joinpath(*parts)
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


def links(text: str) -> Iterator[str]:
    """Targets of a page's relative links, without anchors."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http://", "https://", "#", "mailto:")):
            yield target.partition("#")[0]


def paths_in_code(text: str) -> Iterator[str]:
    """Paths of the repository in back-quotes, as far as they name no pattern and no generated file."""
    roots = "cardwatch|adapters|models|monitoring|services|pipelines|infra|cli|benchmarks|tests|docs|examples|tools"
    yield from re.findall(rf"`((?:{roots})/[\w./-]+)`", text)
