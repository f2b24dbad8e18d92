"""The model in a service like the example "XGBoost" of BentoML's documentation: a class that loads it, and one API.

The documented example takes a matrix of numbers. This one takes features by name, as in the training data.
"""

from __future__ import annotations

import bentoml

from benchmarks.serving.naive import Row, load_model, probability


@bentoml.service
class NaiveBentoml:
    """Return the probability of fraud for named features."""

    def __init__(self) -> None:
        self._model = load_model()

    @bentoml.api
    def predict(self, row: Row, /) -> dict[str, float]:
        return {"probability": probability(self._model, row)}
