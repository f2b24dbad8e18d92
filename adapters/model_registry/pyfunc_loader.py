"""What MLflow's `pyfunc.load_model` calls to load a registered detector. Nothing is unpickled.

    model = mlflow.pyfunc.load_model("models:/cardwatch@champion")
    model.predict(features)  # a DataFrame with the columns `margin` and `probability`

MLflow downloads the files and does not ask the registry for their digest. So the loader compares them with the digest
that is stored beside them, which finds damage, and not somebody who may write to the artifact store. The services of
this project compare with the registry, and do not load models this way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from adapters.model_registry.mlmodel import MARGIN, MLMODEL_FILE, PROBABILITY, digest_in
from adapters.runtime.files import read_folder
from cardwatch.detector.detector import Detector
from cardwatch.errors import CorruptModel
from cardwatch.registry import digest_of


class PyfuncDetector:
    """A detector behind MLflow's interface."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    def predict(self, features: Any, params: dict[str, Any] | None = None) -> Any:
        """Return a DataFrame with `margin`, float32, and `probability`, float64 in 0..1, for each row of `features`.

        `features` is a DataFrame with a float32 column for each feature of the model, NaN where it is missing; other
        columns are ignored, and their order has no meaning. Higher is riskier.
        """
        columns = list(self._detector.facts.feature_names)
        rows = np.ascontiguousarray(features[columns].to_numpy(np.float32))
        margins = self._detector.margins(rows)
        # A frame of the caller's kind with its index, so that this module needs no pandas.
        return features[[]].assign(**{MARGIN: margins, PROBABILITY: self._detector.probabilities(margins)})


def _load_pyfunc(path: str) -> PyfuncDetector:
    """Load the detector in the folder `path`; MLflow prescribes the name of this function.

    Raises `CorruptModel` if the files are not those that were registered, `SchemaMismatch` if the detector needs other
    features than this version computes.
    """
    files = read_folder(Path(path))
    # MLflow adds files of its own to a folder that it downloads, which only have to be ignored.
    recorded = digest_in(files.pop(MLMODEL_FILE))
    files.pop("registered_model_meta", None)
    found = digest_of(files)
    if found != recorded:
        raise CorruptModel(f"the model's files have digest {found}, their {MLMODEL_FILE} says {recorded}")
    return PyfuncDetector(Detector.from_files(files))
