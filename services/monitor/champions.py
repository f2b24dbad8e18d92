"""Data of a champion in the registry: its measures when it was judged, and the reference rows for drift."""

from __future__ import annotations

import logging
from typing import Final, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cardwatch.data_contract.contract import CONTRACT_FILE, DataContract, decode_contract
from cardwatch.drift.missed_frauds import MissedFrauds
from cardwatch.drift.performance import JudgedMeasures, MeasuredPerformance
from cardwatch.errors import CorruptModel, SchemaMismatch
from cardwatch.features.definitions import FEATURE_NAMES, SCHEMA_HASH
from cardwatch.registry import ModelRegistry, ModelVersion
from monitoring.feature_drift import DriftReference
from monitoring.watched import MARGIN

log = logging.getLogger(__name__)

REFERENCE_FILE: Final = "reference.parquet"
DAY: Final = "day"
PROBABILITY: Final = "probability"

_Measure = TypeVar("_Measure")


def judged_measures_of(registry: ModelRegistry, version: str) -> JudgedMeasures:
    """Return the `judged_measures` of a version, which are unknown if the registry does not have it (any more)."""
    found = registry.version(version)
    if found is None:
        log.warning("version %s is not in the registry: its performance when it was judged is unknown", version)
        return JudgedMeasures(performance=None, missed=None)
    return judged_measures(found)


def judged_measures(champion: ModelVersion) -> JudgedMeasures:
    """Return what of the champion's performance monitoring can measure, as it was judged.

    A measure that its tags do not say is None. Champions of earlier versions have only the average precision over all
    rows, those included that they would decline; monitoring measures less, so their first measurements are the
    baseline.
    """
    tags = champion.tags
    return JudgedMeasures(
        performance=_decoded(tags.get("measurable", ""), MeasuredPerformance),
        missed=_decoded(tags.get("missed_frauds", ""), MissedFrauds),
    )


def _decoded(tag: str, measure: type[_Measure]) -> _Measure | None:
    try:
        return msgspec.json.decode(tag, type=measure)
    except msgspec.DecodeError:  # also null, and the empty text of a version without the tag
        return None


def load_reference(registry: ModelRegistry, champion: ModelVersion) -> DriftReference:
    """Return the champion's reference rows.

    Raises `SchemaMismatch` if the champion was trained on another feature schema, and `CorruptModel` if the rows are
    missing or have other features.
    """
    if champion.schema_hash not in ("", SCHEMA_HASH):
        raise SchemaMismatch(
            f"the champion, version {champion.version}, needs features of schema {champion.schema_hash}, this code "
            f"computes {SCHEMA_HASH}: run `cardwatch upgrade`, which trains a model for this version"
        )
    files = registry.files(champion)
    try:
        table = pq.read_table(pa.BufferReader(files[REFERENCE_FILE]))
        table.select([*FEATURE_NAMES, MARGIN, DAY])
    except (KeyError, OSError, ValueError) as error:
        raise CorruptModel(f"version {champion.version} has no usable {REFERENCE_FILE}: {error}") from error
    columns = [table[name].to_numpy().astype(np.float32) for name in FEATURE_NAMES]
    return DriftReference(
        features=np.stack(columns, axis=1),
        margins=table[MARGIN].to_numpy().astype(np.float32),
        days=table[DAY].to_numpy().astype(np.int64),
        probabilities=table[PROBABILITY].to_numpy() if PROBABILITY in table.column_names else None,
    )


def load_contract(registry: ModelRegistry, champion: ModelVersion) -> DataContract | None:
    """Return the champion's data contract, None if it was trained without one.

    Raises `CorruptModel` if the file is there and is no contract.
    """
    content = registry.files(champion).get(CONTRACT_FILE)
    return None if content is None else decode_contract(content)
