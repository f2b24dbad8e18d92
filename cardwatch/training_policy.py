"""How models are trained, as the table `[training]` of the policy file says it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class TrainingPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of every training. The same policy and rows give the same model.

    `calibration_folds` is the number of folds of cards for the calibration. The trees of the folds, and those of the
    search, are trained on all frauds and at most `genuine_rows` genuine rows, so that their time does not grow with the
    training window; the model's own trees see all rows. `trials` is the number of settings of the trees that are tried;
    with 0 the default settings are used, and nothing below has an influence.

    The search validates on the last `validation_days` of the training window, and trains on the days that end
    `gap_days` before: labels arrive late, so that many days lie between the training and the use of a model. It stops
    after `early_stopping_trees` trees without improvement. `seed` is that of the proposals. `maximum_trees` and
    `maximum_depth` bound every model that the search proposes; the largest that they allow is the one whose times for
    scores and reasons are published.

    In a retraining, which follows a change, a row counts half as much as one that is `half_life_days` younger; None:
    all count the same. With less than a day the oldest rows would have a weight of 0 as float32. A first champion
    learns from all days alike.
    """

    calibration_folds: Annotated[int, Meta(ge=2, le=20)] = 5
    genuine_rows: Annotated[int, Meta(ge=1_000)] = 60_000
    trials: Annotated[int, Meta(ge=0, le=500)] = 0
    seed: Annotated[int, Meta(ge=0, lt=2**31)] = 7
    validation_days: Annotated[int, Meta(ge=1, le=90)] = 7
    gap_days: Annotated[int, Meta(ge=0, le=90)] = 7
    early_stopping_trees: Annotated[int, Meta(ge=1, le=300)] = 30
    maximum_trees: Annotated[int, Meta(ge=1, le=300)] = 300
    maximum_depth: Annotated[int, Meta(ge=2, le=6)] = 6
    half_life_days: Annotated[float, Meta(ge=1, le=3_650.0)] | None = 7.0
