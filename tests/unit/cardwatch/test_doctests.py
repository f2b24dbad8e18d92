"""The examples in the docstrings of the core run and give the results that they show."""

from __future__ import annotations

import doctest
from importlib import import_module
from pkgutil import walk_packages

import pytest

import cardwatch

MODULES = [module.name for module in walk_packages(cardwatch.__path__, "cardwatch.")]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_give_what_they_show(name: str) -> None:
    assert doctest.testmod(import_module(name)).failed == 0


def test_at_least_ten_functions_and_classes_have_an_example() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    documented = {test.name for name in MODULES for test in finder.find(import_module(name)) if test.examples}
    assert len(documented) >= 10, documented
