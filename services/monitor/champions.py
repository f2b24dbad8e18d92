"""What the registry knows about a champion: what was promised when it was judged, and what drift is measured from."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.drift.policy import MeasuredPerformance
from cardwatch.errors import CorruptModel, ModelRefused
from cardwatch.features.definitions import FEATURE_NAMES
from cardwatch.registry import ModelRegistry, ModelVersion

REFERENCE_FILE: Final = "reference.parquet"
MARGIN: Final = "margin"


class Reference(Struct, frozen=True):
    """Rows that drift is measured from: float32 [n, features] and the champion's margins on them, float32 [n]."""

    features: NDArray[np.float32]
    margins: NDArray[np.float32]


def find(registry: ModelRegistry, version: str) -> ModelVersion:
    """A version that must be there; raises `ModelRefused` if it was deleted."""
    found = registry.version(version)
    if found is None:
        raise ModelRefused(f"the registry no longer has version {version}, whose decisions are to be judged")
    return found


def promised(champion: ModelVersion, *, fewest_frauds: int) -> MeasuredPerformance | None:
    """The champion's performance when it was judged, None if its tags do not say.

    Without the number of frauds (tag `frauds`) it counts as measured on `fewest_frauds`, the least that is heard.
    """
    try:
        return MeasuredPerformance(
            average_precision=float(champion.tags["average_precision"]),
            frauds=int(champion.tags.get("frauds", fewest_frauds)),
        )
    except (KeyError, ValueError):
        return None


def reference(registry: ModelRegistry, champion: ModelVersion) -> Reference:
    """The champion's reference rows; raises `CorruptModel` if they are missing or of another feature table."""
    files = registry.files(champion)
    try:
        table = pq.read_table(pa.BufferReader(files[REFERENCE_FILE]), columns=[*FEATURE_NAMES, MARGIN])
    except (KeyError, OSError, ValueError) as error:
        raise CorruptModel(f"version {champion.version} has no usable {REFERENCE_FILE}: {error}") from error
    columns = [table[name].to_numpy().astype(np.float32) for name in FEATURE_NAMES]
    return Reference(np.stack(columns, axis=1), table[MARGIN].to_numpy().astype(np.float32))
