"""The estimator: inputs and known figures in, every step of the chain with its value and what it rests on out."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

from msgspec import Struct, structs

from cardwatch.errors import Misconfigured
from cardwatch.estimator.aws_design import AWS_SECTIONS
from cardwatch.estimator.expression import evaluate
from cardwatch.estimator.quantities import (
    Basis,
    EstimateCheck,
    EstimateInput,
    EstimateSection,
    KnownFigure,
    basis_of,
    computed,
    steps_of,
    tree_of,
)
from cardwatch.estimator.stream_design import CHECKS, INPUTS, STREAM_SECTIONS


class EstimateCheckResult(Struct, frozen=True, kw_only=True):
    """Whether a check holds, and what it says."""

    holds: bool
    text: str


class EstimateResult(Struct, frozen=True, kw_only=True):
    """An estimate: `given` are the inputs, `values` and `basis` those of every step, in the order of the chain."""

    given: dict[str, float]
    values: dict[str, float]
    basis: dict[str, Basis]
    checks: list[EstimateCheckResult]


class Estimator(Struct, frozen=True, kw_only=True):
    """The table of all quantities. `known` are the figures that the formulas name beside the inputs."""

    known: tuple[KnownFigure, ...]
    inputs: tuple[EstimateInput, ...] = INPUTS
    sections: tuple[EstimateSection, ...] = (*STREAM_SECTIONS, *AWS_SECTIONS)
    checks: tuple[EstimateCheck, ...] = CHECKS

    def assuming(self, own: Mapping[str, float]) -> Estimator:
        """Return the estimator with other values of assumed figures, which are then given.

        Raises `Misconfigured` for a name that is none of an assumed figure, and for a value that is not above 0.
        """
        names = [each.name for each in self.known if each.basis is Basis.ASSUMED]
        if unknown := sorted(set(own) - set(names)):
            raise Misconfigured(f"{', '.join(unknown)}: no assumed figure has this name; there are {', '.join(names)}")
        for name, value in own.items():
            if not (isfinite(value) and value > 0):
                raise Misconfigured(f"{name}: an assumed figure is above 0, not {value:g}")
        known = (
            structs.replace(each, value=own[each.name], basis=Basis.GIVEN) if each.name in own else each
            for each in self.known
        )
        return structs.replace(self, known=tuple(known))

    def estimate(self, given: Mapping[str, float]) -> EstimateResult:
        """Return the estimate for inputs by their names; what is missing has its default.

        Raises `Misconfigured` for an unknown input, and for one out of its range.
        """
        asked = {each.name: float(given.get(each.name, each.default)) for each in self.inputs}
        if unknown := sorted(set(given) - set(asked)):
            raise Misconfigured(f"the estimate has no input {', '.join(unknown)}; it has {', '.join(asked)}")
        for each in self.inputs:
            value = asked[each.name]
            if not (isfinite(value) and each.least <= value <= each.most):
                raise Misconfigured(f"{each.title}: {value:g} is not in {each.least:g} to {each.most:,.10g}")
        steps = steps_of(self.sections)
        before = {**{each.name: each.value for each in self.known}, **asked}
        values = computed(steps, before)
        every = {**before, **values}
        return EstimateResult(
            given=asked,
            values=values,
            basis=basis_of(steps, self.known, every),
            checks=[_result(each, every) for each in self.checks],
        )


def _result(check: EstimateCheck, values: Mapping[str, float]) -> EstimateCheckResult:
    holds = bool(evaluate(tree_of(check), values))
    return EstimateCheckResult(holds=holds, text=check.passed if holds else check.failed)
