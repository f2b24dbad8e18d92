"""Shared parts of the naive servers: one row of named features as JSON, a pandas frame of one row, `predict_proba`.

They do less than the scoring service. They receive computed features, and do not look up a card, choose a table, apply
a policy or give reasons.
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
"""Folder in a benchmark's home with the model that all servers use."""

Row: Final[type[BaseModel]] = create_model("Row", **dict.fromkeys(FEATURE_NAMES, (float | None, None)))


def load_model() -> xgboost.XGBClassifier:
    """Load the model in the home of this process's settings."""
    model = xgboost.XGBClassifier()
    model.load_model(model_file(read_settings().home))
    return model


def model_file(home: Path) -> Path:
    return home / DETECTOR_FOLDER / MODEL_FILE


def probability(model: xgboost.XGBClassifier, row: BaseModel) -> float:
    """Return the probability of fraud, computed as in textbooks."""
    frame = pd.DataFrame([row.model_dump()], dtype="float32")
    return float(model.predict_proba(frame)[0, 1])
