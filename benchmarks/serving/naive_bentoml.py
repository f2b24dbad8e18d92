"""The model as BentoML's documentation serves one, in its example "XGBoost": a class that loads it, an API that asks.

The documented example takes a matrix of numbers; this takes features by name, in a frame as they were trained with.
"""

from __future__ import annotations

import bentoml

from benchmarks.serving.naive import Row, load_model, probability


@bentoml.service
class NaiveBentoml:
    """Named features in, probability out."""

    def __init__(self) -> None:
        self._model = load_model()

    @bentoml.api
    def predict(self, row: Row, /) -> dict[str, float]:
        return {"probability": probability(self._model, row)}
