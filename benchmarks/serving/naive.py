"""What the naive servers share: one row of named features as JSON, a pandas frame of one row, `predict_proba`.

They do less than the scoring service: they look up no card, compute no feature, choose no table, ask no policy and give
no reasons. They get the features ready-made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd
import xgboost
from pydantic import BaseModel, create_model

from adapters.runtime.settings import read_settings
from cardwatch.detector.detector import MODEL_FILE
from cardwatch.features.definitions import FEATURE_NAMES

DETECTOR_FOLDER: Final = "detector"
"""In a benchmark's home: the model that all servers answer with."""

Row: Final[type[BaseModel]] = create_model("Row", **dict.fromkeys(FEATURE_NAMES, (float | None, None)))


def load_model() -> xgboost.XGBClassifier:
    """The model in the home of this process's settings."""
    model = xgboost.XGBClassifier()
    model.load_model(model_file(read_settings().home))
    return model


def model_file(home: Path) -> Path:
    return home / DETECTOR_FOLDER / MODEL_FILE


def probability(model: xgboost.XGBClassifier, row: BaseModel) -> float:
    """As the textbook does it."""
    frame = pd.DataFrame([row.model_dump()], dtype="float32")
    return float(model.predict_proba(frame)[0, 1])
