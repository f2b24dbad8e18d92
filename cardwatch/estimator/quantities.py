"""The parts of an estimate: what is asked for, what is known, and what is computed from both, step by step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from functools import cache
from typing import Final

from msgspec import Struct

from cardwatch.estimator.expression import Tree, branch_taken, evaluate, names_in, parse


class Basis(Enum):
    """What a figure rests on, the most certain first. A computed figure has the least certain basis of its parts.

    `CODE` is a constant or a default of this system.
    """

    GIVEN = "given"
    CODE = "code"
    MEASURED = "measured"
    ASSUMED = "assumed"


_CERTAINTY: Final = tuple(Basis)


class Unit(Enum):
    """The unit of a figure. `PERCENT` is a number of per cents, `SHARE` a number in 0..1."""

    COUNT = ""
    PER_SECOND = "/s"
    BYTES = "bytes"
    BYTES_PER_SECOND = "bytes/s"
    MICROSECONDS = "us"
    MILLISECONDS = "ms"
    SECONDS = "s"
    HOURS = "h"
    DAYS = "days"
    CORES = "cores"
    DOLLARS = "$"
    PERCENT = "%"
    SHARE = "share"


class EstimateInput(Struct, frozen=True, kw_only=True):
    """A number that is asked for. `option` is the name of its option on the command line.

    `empty` says what happens without it; None if it is always there.
    """

    name: str
    title: str
    unit: Unit
    default: float
    least: float
    most: float
    option: str
    note: str = ""
    empty: str | None = None


class KnownFigure(Struct, frozen=True, kw_only=True):
    """A number that is known or assumed. `source` says from where: the benchmark with its command, a file, a reason."""

    name: str
    title: str
    unit: Unit
    value: float
    basis: Basis
    source: str


class EstimateStep(Struct, frozen=True, kw_only=True):
    """A computed figure. `formula` is as `cardwatch.estimator.expression` reads it."""

    name: str
    title: str
    unit: Unit
    formula: str
    note: str = ""


class EstimateSection(Struct, frozen=True, kw_only=True):
    """Steps about one subject, in the order in which they are computed."""

    name: str
    title: str
    steps: tuple[EstimateStep, ...]
    note: str = ""


class EstimateCheck(Struct, frozen=True, kw_only=True):
    """A comparison of two figures, and what to say if it holds and if it does not."""

    formula: str
    passed: str
    failed: str


def step(name: str, title: str, unit: Unit, formula: str, note: str = "") -> EstimateStep:
    """Return a step."""
    return EstimateStep(name=name, title=title, unit=unit, formula=formula, note=note)


def assumed(name: str, title: str, unit: Unit, value: float, reason: str) -> KnownFigure:
    """Return an assumption with its reason."""
    return KnownFigure(name=name, title=title, unit=unit, value=value, basis=Basis.ASSUMED, source=reason)


@cache
def tree_of(each: EstimateStep | EstimateCheck) -> Tree:
    """Return the tree of a formula."""
    return parse(each.formula)


def steps_of(sections: Iterable[EstimateSection]) -> tuple[EstimateStep, ...]:
    """Return all steps of the sections in their order."""
    return tuple(each for section in sections for each in section.steps)


def computed(
    steps: Sequence[EstimateStep], given: Mapping[str, float], wanted: Iterable[str] | None = None
) -> dict[str, float]:
    """Return the values of the steps by their names, in their order.

    `given` has all other names of the formulas; a step whose name it has is not computed. Only the steps that `wanted`
    need are computed, all of them if it is None. Raises `KeyError` for a name without a value.
    """
    needed = None if wanted is None else _needed(steps, given, wanted)
    values = dict(given)
    for each in steps:
        if each.name not in values and (needed is None or each.name in needed):
            values[each.name] = evaluate(tree_of(each), values)
    return {each.name: values[each.name] for each in steps if each.name in values}


def basis_of(
    steps: Sequence[EstimateStep], known: Iterable[KnownFigure], values: Mapping[str, float]
) -> dict[str, Basis]:
    """Return what each step rests on. A name that neither a step nor a known figure has is given.

    `values` are those of all names. Of a formula with conditions only the branch counts that these values take.
    """
    found = {each.name: each.basis for each in known}
    for each in steps:
        parts = (found.get(name, Basis.GIVEN) for name in names_in(branch_taken(tree_of(each), values)))
        found[each.name] = max(parts, key=_CERTAINTY.index, default=Basis.GIVEN)
    return {each.name: found[each.name] for each in steps}


def _needed(steps: Sequence[EstimateStep], given: Mapping[str, float], wanted: Iterable[str]) -> set[str]:
    needed = set(wanted)
    for each in reversed(steps):
        if each.name in needed and each.name not in given:
            needed.update(names_in(tree_of(each)))
    return needed
