"""Scores of the served models: the champion's, and those of the version in shadow or canary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cardwatch.ports import Canary, Scores, Shadow
from services.scoring.model.manager import ServedModels


def scores_of(models: ServedModels, margins: Sequence[NDArray[np.float32]]) -> Scores:
    """Return the scores without reasons. `margins` are those of the champion and, if there is one, the candidate."""
    champion, candidate = models.champion, models.candidate
    if champion is None:
        raise ValueError("without a champion there are no scores")
    shadow = canary = None
    if candidate is not None:
        version, digest = candidate.version.version, candidate.version.digest
        probabilities = candidate.detector.probabilities(margins[1])
        if models.canary_share is None:
            shadow = Shadow(model_version=version, model_digest=digest, margins=margins[1], probabilities=probabilities)
        else:
            canary = Canary(
                model_version=version,
                model_digest=digest,
                share=models.canary_share,
                margins=margins[1],
                probabilities=probabilities,
                reasons=[[] for _ in margins[1]],
            )
    return Scores(
        model_version=champion.version.version,
        model_digest=champion.version.digest,
        margins=margins[0],
        probabilities=champion.detector.probabilities(margins[0]),
        reasons=[[] for _ in margins[0]],
        shadow=shadow,
        canary=canary,
    )
