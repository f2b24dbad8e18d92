"""Recorded rows, scored again by the stored models."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.audit.checks import Flags, Unchecked
from cardwatch.audit.recorded_columns import AuditedDecisions, TextColumn
from cardwatch.audit.stored_model import StoredModel, StoredModels


class ScoredAgain(Struct, frozen=True, kw_only=True):
    """Margins, float32 [n], and probabilities, float64 [n], NaN where there are none. `problems`: why, by row.

    `models` are those of the versions, in the order of their names. `is_other`: bool [n], where the stored model is not
    the one that scored. `is_deleted`: bool [n], where the registry does not have the version.
    """

    margins: NDArray[np.float32]
    probabilities: NDArray[np.float64]
    problems: Unchecked
    models: list[StoredModel]
    is_other: Flags
    is_deleted: Flags


def score_again(
    decisions: AuditedDecisions, versions: TextColumn, models: StoredModels, digests: TextColumn | None = None
) -> ScoredAgain:
    """Score the recorded features by the version that each row names; a row without one stays without a score.

    With `digests`, a stored model counts only where it has the digest that was recorded.
    """
    count = len(decisions)
    scored = ScoredAgain(
        margins=np.full(count, np.nan, np.float32),
        probabilities=np.full(count, np.nan),
        problems=Unchecked(count),
        models=[models.load(name, decisions.feature_schema) for name in versions.names],
        is_other=np.zeros(count, np.bool_),
        is_deleted=np.zeros(count, np.bool_),
    )
    for code, model in enumerate(scored.models):
        rows = versions.codes == code
        if model.registered is None:
            scored.is_deleted[rows] = True
        elif model.is_changed:
            scored.is_other[rows] = True
        elif digests is not None:
            is_other = rows & ~_named(digests, model.digest)
            scored.is_other[is_other] = True
            reason = f"the registry's version {versions.names[code]} has another digest than the model that scored"
            scored.problems.add(reason, is_other)
        if model.detector is None:
            scored.problems.add(model.problem, rows)
            continue
        places = np.flatnonzero(rows & ~scored.is_other)
        if len(places):
            features = decisions.features if len(places) == count else decisions.features[places]
            margins = model.detector.margins(features)
            scored.margins[places] = margins
            scored.probabilities[places] = model.detector.probabilities(margins)
    return scored


def _named(texts: TextColumn, name: str) -> Flags:
    if name not in texts.names:
        return np.zeros(len(texts.codes), np.bool_)
    named: Flags = texts.codes == texts.names.index(name)
    return named
