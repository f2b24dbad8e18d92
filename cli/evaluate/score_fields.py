"""Reading of score columns: further columns of numbers, which no mapping names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adapters.archive.tabular import TextBatch
from cardwatch.card_numbers import mask_card_numbers
from cardwatch.errors import MappingError, Misconfigured
from cli.evaluate import parsing
from cli.evaluate.mapping import Mapping
from cli.evaluate.mapping_file import suggestion

AddFaults = Callable[[str, parsing.Texts, parsing.Mask, str], None]
"""Notes the rows of a mask of a column as faulty, with their texts and the reason."""


def score_field(column: str) -> str:
    """The name under which the values of a score column are kept; no other field has a colon in its name."""
    return f"score: {column}"


def check_score_columns(columns: Sequence[str], mapping: Mapping) -> None:
    """Raise `Misconfigured` for a score column that is named twice, or that is the label."""
    if repeated := next((name for name in columns if columns.count(name) > 1), None):
        raise Misconfigured(f"--score-column {repeated} is given twice")
    for field, column in mapping.columns().items():
        if field.startswith("label.") and column in columns:
            raise Misconfigured(f"--score-column {column} is {field} too; a score must not know the label")


def check_columns_exist(path: Path, names: Sequence[str], columns: Sequence[str]) -> None:
    """Raise `MappingError` unless the file, whose columns have these `names`, has each of `columns` once."""
    for column in columns:
        if (count := names.count(column)) != 1:
            problem = f"{count} columns are called" if count else "there is no column"
            hint = "." if count else suggestion(column, names) or "."
            raise MappingError(
                f"{path}: --score-column {column}: {problem} {column!r}{hint}"
                f" Its columns: {mask_card_numbers(', '.join(names))}"
            )


def parse_score_columns(
    batch: TextBatch, columns: Sequence[str], missing: tuple[str, ...], add: AddFaults
) -> dict[str, NDArray[np.float64]]:
    """Return the finite numbers of each column by its `score_field`; those in a faulty row mean nothing."""
    scores: dict[str, Any] = {}
    for name in columns:
        texts = parsing.clean(batch.columns[name], missing)
        refuse = partial(add, name, texts)
        refuse(parsing.is_null(texts), parsing.MISSING)
        # What may be a card number is not shown.
        refuse_unseen = partial(add, name, pa.nulls(len(texts), pa.string()))
        scores[score_field(name)] = parsing.parse_scores(texts, refuse, refuse_unseen)
    return scores
