"""The table of the documentation: means over worlds, and what the search adds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.training.measure import FOLDED, FORMER, SEARCHED, MeasuredModel, TrainedWorld
from benchmarks.world_means import estimate
from infra.aws.markdown_tables import table

_COLUMNS: dict[str, tuple[str, Callable[[MeasuredModel], float]]] = {
    "average precision": (".3f", lambda model: model.average_precision),
    "log loss, 10^-3": (".2f", lambda model: 1e3 * model.log_loss),
    "Brier, 10^-4": (".2f", lambda model: 1e4 * model.brier),
    "calibration error, 10^-4": (".2f", lambda model: 1e4 * model.calibration_error),
    "expected / observed": (".2f", lambda model: model.expected_to_observed),
    "cost": (".3f", lambda model: model.cost),
    "alerts": (".0f", lambda model: model.alerts),
    "distinct": (".0f", lambda model: model.distinct),
}
_DIFFERENCES = ("average precision", "log loss, 10^-3", "cost")


def markdown(worlds: Sequence[TrainedWorld]) -> str:
    """Return the means of every model, and the mean paired differences with intervals of 95 % over worlds."""
    names = list(worlds[0].models)
    rows = [
        (
            name,
            *(
                f"{np.mean([value(world.models[name]) for world in worlds]):{form}}"
                for form, value in _COLUMNS.values()
            ),
        )
        for name in names
    ]
    return (
        table(("model", *_COLUMNS), rows)
        + "\n"
        + table(
            ("difference", *_DIFFERENCES),
            [
                _difference("cross-fitting and beta against a fifth of the cards", worlds, FOLDED, FORMER),
                _difference("searched settings against the default ones", worlds, SEARCHED, FOLDED),
            ],
        )
    )


def _difference(label: str, worlds: Sequence[TrainedWorld], new: str, old: str) -> tuple[str, ...]:
    cells = []
    for name in _DIFFERENCES:
        form, value = _COLUMNS[name]
        gains = [value(world.models[new]) - value(world.models[old]) for world in worlds]
        cells.append(estimate(gains).shown(f"+{form}"))
    return (label, *cells)
