"""The published JSON Schemas are those of the types."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.contracts import CONTRACTS, schema

PUBLISHED = Path(__file__).parents[3] / "docs" / "contracts"


@pytest.mark.parametrize("name", list(CONTRACTS))
def test_the_published_schema_is_that_of_the_type(name: str) -> None:
    assert (PUBLISHED / f"{name}.schema.json").read_text() == schema(name), "run `cardwatch contracts`"


def test_no_other_schema_is_published() -> None:
    assert {path.name.removesuffix(".schema.json") for path in PUBLISHED.iterdir()} == set(CONTRACTS)
