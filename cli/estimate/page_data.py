"""The estimator for the page of the console, which computes it in the browser, and an estimate as JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from cardwatch.estimator.estimator import EstimateResult, Estimator
from cardwatch.estimator.expression import names_in
from cardwatch.estimator.quantities import EstimateSection, KnownFigure, steps_of, tree_of


def estimator_data(estimator: Estimator) -> dict[str, Any]:
    """Return the table of all quantities: inputs, known figures that a formula names, and steps with their trees."""
    return {
        "inputs": [_plain(each) for each in estimator.inputs],
        "known": [_plain(each) for each in _used(estimator)],
        "sections": [
            {
                **_head(section),
                "steps": [
                    {
                        "name": step.name,
                        "title": step.title,
                        "unit": step.unit.value,
                        "note": step.note,
                        "tree": tree_of(step),
                    }
                    for step in section.steps
                ],
            }
            for section in estimator.sections
        ],
        "checks": [
            {"tree": tree_of(check), "passed": check.passed, "failed": check.failed} for check in estimator.checks
        ],
    }


def estimate_document(estimator: Estimator, result: EstimateResult) -> dict[str, Any]:
    """Return an estimate as plain values: what was asked for, each step with value, formula and basis, the checks."""
    return {
        "given": result.given,
        "sections": [
            {
                **_head(section),
                "steps": [
                    {**_plain(step), "value": result.values[step.name], "basis": result.basis[step.name].value}
                    for step in section.steps
                ],
            }
            for section in estimator.sections
        ],
        "checks": [_plain(check) for check in result.checks],
        "known": [_plain(each) for each in _used(estimator)],
    }


def _used(estimator: Estimator) -> list[KnownFigure]:
    used = {name for each in steps_of(estimator.sections) for name in names_in(tree_of(each))}
    used |= {name for each in estimator.checks for name in names_in(tree_of(each))}
    return [each for each in estimator.known if each.name in used]


def _head(section: EstimateSection) -> dict[str, str]:
    return {"name": section.name, "title": section.title, "note": section.note}


def _plain(value: msgspec.Struct) -> Any:
    return msgspec.to_builtins(value)
