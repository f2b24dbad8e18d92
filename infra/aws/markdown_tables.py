"""Tables in Markdown pages: reading hand-written ones, and generating others between two markers."""

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
    """Return the text of the page."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error}") from error


def rows_of(page: str, first_column: str) -> list[list[str]]:
    """Return the rows, including the header, of the table whose header begins with `first_column`, without backticks.

    Raises `Misconfigured` if there is no such table, or a row and the header differ in length.
    """
    lines = iter(page.splitlines())
    for line in lines:
        if line.startswith(f"| {first_column} |"):
            break
    else:
        raise Misconfigured(f"there is no table whose header begins with {first_column!r}")
    rows = [_cells(line)]
    for line in lines:
        if not line.startswith("|"):
            break
        if not _RULE.fullmatch(line):
            rows.append(_cells(line))
    if wrong := [row for row in rows if len(row) != len(rows[0])]:
        raise Misconfigured(f"the table {first_column!r} has a row of another length than its header: {wrong[0]}")
    return rows


def number(text: str, what: str) -> float:
    """Parse a number with optional thousands separators and dollar sign."""
    try:
        return float(text.replace(",", "").removeprefix("$"))
    except ValueError as error:
        raise Misconfigured(f"{what}: {text!r} is not a number") from error


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[int] = ()) -> str:
    """Return a Markdown table; the columns `right` are right-aligned."""
    right_aligned = set(right)
    rule = ["---:" if column in right_aligned else "---" for column in range(len(head))]
    return "".join(f"| {' | '.join(row)} |\n" for row in ([*head], *([*row] for row in rows))).replace(
        "\n", f"\n|{'|'.join(rule)}|\n", 1
    )


def with_generated(page: str, name: str, text: str) -> str:
    """Return `page` with the text between the markers of `name` replaced by `text`."""
    begin, end = _BEGIN.format(name=name), _END.format(name=name)
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise Misconfigured(f"the page lacks {begin} or {end}")
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"


def _cells(line: str) -> list[str]:
    return [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
