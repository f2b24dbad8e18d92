"""What retraining does, stage by stage: plain functions, for the Prefect tasks and the jobs on AWS of the same names.

`tell` is where a stage says what it has done: a run's log under Prefect, a process's elsewhere.
"""

from __future__ import annotations

import logging
from datetime import date
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from adapters.archive.reader import Archive
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.runtime.policy_file import Policies
from cardwatch.detector.detector import Detector
from cardwatch.drift.policy import DriftPolicy
from cardwatch.label_maturity import DEFAULT_MATURITY_DAYS, end_of_day
from cardwatch.promotion.gate import Windows, windows
from cardwatch.registry import ModelRegistry
from pipelines.fitting import Candidate, fit_candidate
from pipelines.promote import Trial, hold_trial, load_champion
from pipelines.training_set import ReplayedLog, TrainingSet, replay_log, training_set

MATURITY_DAYS: Final = DEFAULT_MATURITY_DAYS
JUDGE_DAYS: Final = DriftPolicy().judge_days
TRAIN_DAYS: Final = 90
MINIMUM_TRAIN_DAYS: Final = 14
HOLDOUT_DAYS: Final = 7
"""On which a first champion is judged: a whole week, so that the baseline knows every weekday."""

Tell: TypeAlias = "logging.Logger | logging.LoggerAdapter[Any]"


def replay(archive: Archive, tables: ReferenceTableStore, tell: Tell) -> ReplayedLog:
    """The whole archived log through the kernel."""
    log = replay_log(archive, tables.all())
    tell.info("replayed %d transactions of %d cards", len(log.features), len(log.cards))
    return log


def choose_windows(log: ReplayedLog, as_of: date, *, maturity_days: int, judge_days: int) -> Windows:
    """The days to train and to judge on; raises `NotEnoughHistory` if there are too few."""
    return windows(
        as_of,
        first=log.first_day,
        maturity_days=maturity_days,
        judge_days=judge_days,
        train_days=TRAIN_DAYS,
        minimum_train_days=MINIMUM_TRAIN_DAYS,
    )


def assemble(archive: Archive, log: ReplayedLog, as_of: date, chosen: Windows, tell: Tell) -> TrainingSet:
    """Rows of both windows with the labels known at the end of `as_of`."""
    rows = training_set(log, archive.labels(end_of_day(as_of)), as_of, chosen)
    tell.info(
        "%d rows, %d frauds, fingerprint %s: train on [%s, %s), judge on [%s, %s)",
        len(rows.is_fraud),
        int(rows.is_fraud.sum()),
        rows.fingerprint[:12],
        chosen.train_from,
        chosen.judge_from,
        chosen.judge_from,
        chosen.judge_until,
    )
    return rows


def fit(rows: TrainingSet, recent: NDArray[np.float32], chosen: Windows, folder: Path, tell: Tell) -> Candidate:
    """Fit on the training window alone. `recent`: what drift will be measured from."""
    candidate = fit_candidate(rows.between(chosen.train_from, chosen.judge_from), recent, folder)
    tell.info("fitted the model %s", candidate.digest[:12])
    return candidate


def judge_against_champion(
    registry: ModelRegistry, challenger: Detector, rows: TrainingSet, chosen: Windows, policies: Policies, tell: Tell
) -> Trial:
    """Champion and challenger on the same rows."""
    trial = hold_trial(load_champion(registry), challenger, rows, chosen, policies)
    for reason in trial.verdict.reasons:
        tell.info("%s", reason)
    return trial
