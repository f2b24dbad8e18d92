"""The loop in a world where nobody learns what declined payments were, without servers.

An audit found that the monitor took declined fraud without a label for genuine: it measured an average precision of
0.12 (true: 0.85), called the champion decayed and retrained it on the same wrong labels.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import average_precision_score

from benchmarks.selective_labels.decided_days import DecidedDay, PolicyWorld
from cardwatch.decision.cost_policy import ACTIONS, DecisionPolicy, channels_of
from cardwatch.drift.assessment import Assessment, DayObservation, DriftState, assess
from cardwatch.drift.performance import MeasuredPerformance
from cardwatch.drift.policy import DriftPolicy
from cardwatch.label_maturity import end_of_day, newest_mature_day
from cardwatch.label_states import is_measurable
from cardwatch.progress import DECAYED, STABLE, SUSPECTED
from cardwatch.simulation.label_settings import LabelSettings
from cardwatch.simulation.selection import DECLINE, SelectionSettings
from cardwatch.simulation.settings import SimulationSettings
from models.selection_estimates import measurable_performance
from services.monitor.performance import measure_performance

HISTORY_DAYS, HOLDOUT_DAYS, LIVE_DAYS = 28, 7, 19
POLICY: Final = DriftPolicy()
SILENT: Final = LabelSettings(selection=SelectionSettings(confirmed_share=0.0))


class SilentWorld(NamedTuple):
    """Days that a champion decided, and its performance on the days before, on which everything was approved."""

    live: list[DecidedDay]
    judged: MeasuredPerformance
    judged_on_all: MeasuredPerformance


@pytest.fixture(scope="module")
def world() -> SilentWorld:
    settings = SimulationSettings(seed=6, cards=2_000, labels=SILENT)
    running = PolicyWorld(settings, DecisionPolicy())
    history = [running.run_day() for _ in range(HISTORY_DAYS + HOLDOUT_DAYS)]
    detector = running.train(history[7:HISTORY_DAYS], history)
    live = [running.run_day() for _ in range(LIVE_DAYS)]
    features = np.concatenate([day.features for day in history[HISTORY_DAYS:]])
    is_fraud = np.concatenate([day.is_fraud for day in history[HISTORY_DAYS:]])
    amounts = np.concatenate([day.amount_minor for day in history[HISTORY_DAYS:]])
    margins = detector.margins(features)
    probabilities = detector.probabilities(margins)
    decided = DecisionPolicy().decide(probabilities, amounts.astype(np.float64), channels_of(features))
    would_decline = np.array([ACTIONS.index(action) == DECLINE for action in decided])
    ones = np.ones(len(is_fraud), np.float32)
    judged = measurable_performance(margins, is_fraud, ones, is_measurable(would_decline, amounts, None))
    on_all = measurable_performance(margins, is_fraud, ones, np.ones(len(is_fraud), np.bool_))
    assert judged is not None and on_all is not None
    return SilentWorld(live, judged, on_all)


def decisions_of(days: list[DecidedDay]) -> pa.Table:
    return pa.table(
        {
            "transaction_id": [name for day in days for name in day.transaction_ids],
            "occurred_at": pa.array(
                [end_of_day(day.day) for day in days for _ in day.transaction_ids], pa.timestamp("ms", "UTC")
            ),
            "amount_minor": np.concatenate([day.amount_minor for day in days]),
            "margin": np.concatenate([day.margins for day in days]),
            "action": [ACTIONS[code].value for day in days for code in day.actions],
            "model_version": ["1" for day in days for _ in day.transaction_ids],
            "control_propensity": pa.nulls(sum(len(day.margins) for day in days), pa.float64()),
        }
    )


def labels_until(live: list[DecidedDay], last: DecidedDay) -> pa.Table:
    known = [label for day in live for label in day.labels if day.day <= last.day]
    return pa.table(
        {
            "transaction_id": [label.transaction_id for label in known],
            "is_fraud": [label.is_fraud for label in known],
            "observed_at": pa.array([label.observed_at for label in known], pa.timestamp("ms", "UTC")),
            "partition": [0] * len(known),
            "log_offset": list(range(len(known))),
        }
    )


def mature_days(live: list[DecidedDay], today: DecidedDay) -> list[DecidedDay]:
    newest = newest_mature_day(today.day, POLICY.maturity_days)
    return [day for day in live if day.day <= newest][-POLICY.performance_days :]


def assessments(
    live: list[DecidedDay], performances: list[MeasuredPerformance | None], judged: MeasuredPerformance
) -> list[Assessment]:
    state, found = DriftState(), []
    for day, performance in zip(live, performances, strict=True):
        observation = DayObservation(
            day=day.day,
            champion_version="1",
            drifted_features=[],
            drift_share=0.0,
            not_compared={},
            null_share_changes={},
            performance=performance,
            judged_performance=judged,
        )
        state, assessment = assess(state, observation, POLICY)
        found.append(assessment)
    return found


def test_a_world_that_never_labels_declines_has_no_decay_and_starts_no_retraining(world: SilentWorld) -> None:
    performances = [
        measure_performance(decisions_of(days), labels_until(world.live, today), "1") if days else None
        for today in world.live
        for days in [mature_days(world.live, today)]
    ]
    found = assessments(world.live, performances, world.judged)
    # A week with harder fraud than usual may be suspected; that is the truth of this world.
    assert {each.state for each in found} <= {STABLE, SUSPECTED}
    assert not any(each.retrain for each in found)


def test_the_measured_performance_is_the_truth_of_the_payments_that_happened(world: SilentWorld) -> None:
    today = world.live[-1]
    days = mature_days(world.live, today)
    measured = measure_performance(decisions_of(days), labels_until(world.live, today), "1")
    happened = np.concatenate([day.actions != DECLINE for day in days])
    is_fraud = np.concatenate([day.is_fraud for day in days])[happened]
    truth = average_precision_score(is_fraud, np.concatenate([day.margins for day in days])[happened])
    assert measured is not None
    assert measured.average_precision == pytest.approx(truth, abs=0.03)  # one report in a hundred comes after maturity
    assert measured.frauds == pytest.approx(is_fraud.sum(), abs=2)


def test_taking_silence_for_genuine_makes_the_same_champion_decay(world: SilentWorld) -> None:
    performances: list[MeasuredPerformance | None] = []
    for today in world.live:
        known = {label.transaction_id for day in world.live if day.day <= today.day for label in day.labels}
        days = mature_days(world.live, today)
        names = [name for day in days for name in day.transaction_ids]
        is_fraud = np.array([name in known for name in names], np.bool_)
        margins = np.concatenate([day.margins for day in days]) if days else np.zeros(0)
        performances.append(
            MeasuredPerformance(
                average_precision=float(average_precision_score(is_fraud, margins)), frauds=int(is_fraud.sum())
            )
            if is_fraud.any()
            else None
        )
    newest = performances[-1]
    assert newest is not None and newest.average_precision < 0.5 * world.judged_on_all.average_precision
    found = assessments(world.live, performances, world.judged_on_all)
    assert DECAYED in {each.state for each in found}
