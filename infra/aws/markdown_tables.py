"""Tables of Markdown pages: those that people write and code reads, and those that code writes between two markers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from cardwatch.errors import Misconfigured

_BEGIN: Final = "<!-- generated: {name} -->"
_END: Final = "<!-- end of {name} -->"
_RULE: Final = re.compile(r"\|[-:| ]+\|")


def read_page(path: Path) -> str:
    """The page's text."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error}") from error


def rows_of(page: str, first_column: str) -> list[list[str]]:
    """The rows of the table whose head begins with `first_column`, its head first; code marks are taken off.

    Raises `Misconfigured` if there is no such table, or a row has another number of cells than the head.
    """
    lines = iter(page.splitlines())
    for line in lines:
        if line.startswith(f"| {first_column} |"):
            break
    else:
        raise Misconfigured(f"there is no table whose head begins with {first_column!r}")
    rows = [_cells(line)]
    for line in lines:
        if not line.startswith("|"):
            break
        if not _RULE.fullmatch(line):
            rows.append(_cells(line))
    if wrong := [row for row in rows if len(row) != len(rows[0])]:
        raise Misconfigured(f"the table {first_column!r} has rows of another length than its head: {wrong[0]}")
    return rows


def number(text: str, what: str) -> float:
    """A number as the pages write it: with commas between thousands, or with a $ before it."""
    try:
        return float(text.replace(",", "").removeprefix("$"))
    except ValueError as error:
        raise Misconfigured(f"{what}: {text!r} is not a number") from error


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[int] = ()) -> str:
    """A Markdown table; the columns `right` are set to the right."""
    turned = set(right)
    rule = ["---:" if column in turned else "---" for column in range(len(head))]
    return "".join(f"| {' | '.join(row)} |\n" for row in ([*head], *([*row] for row in rows))).replace(
        "\n", f"\n|{'|'.join(rule)}|\n", 1
    )


def with_generated(page: str, name: str, text: str) -> str:
    """`page` with what stands between the markers of `name` replaced by `text`."""
    begin, end = _BEGIN.format(name=name), _END.format(name=name)
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise Misconfigured(f"the page has no place between {begin} and {end}")
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"


def _cells(line: str) -> list[str]:
    return [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
