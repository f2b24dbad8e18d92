"""How models are trained, as the table `[training]` of the policy file says it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class TrainingPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of every training. `calibration_folds` is the number of folds of cards for the calibration."""

    calibration_folds: Annotated[int, Meta(ge=2, le=20)] = 5
