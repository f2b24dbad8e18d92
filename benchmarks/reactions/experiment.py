"""Measure how much fraudsters gain by reacting to declines, before and after the detector is retrained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from benchmarks.interval_estimate import IntervalEstimate
from benchmarks.reactions.decided_world import DecidedTransactions, DecidedWorld
from benchmarks.world_means import estimate
from cardwatch.simulation.settings import SimulationSettings

WARM_UP_DAYS: Final = 14
"""First days, on which the states of the cards fill. No model is trained on them."""
TRAIN_DAYS: Final = 28
DELAY_DAYS: Final = 5
"""Days between training and use, in which labels arrive."""
WEEKS_BEFORE, WEEKS_AFTER = 3, 3
"""Weeks with the first model, and after it was replaced or not."""


class Arm(Struct, frozen=True, kw_only=True):
    """One course of a world: whether fraudsters react, and whether the detector is retrained after `WEEKS_BEFORE`."""

    reacts: bool
    retrains: bool


ARMS: Final = tuple(Arm(reacts=reacts, retrains=retrains) for reacts in (False, True) for retrains in (False, True))


class Course(Struct, frozen=True, kw_only=True):
    """The weeks of one arm in one world, from the first decision on."""

    seed: int
    arm: Arm
    weeks: list[DecidedTransactions]


def run_world(seed: int, cards: int, fraud_share: float, budgets: Sequence[float]) -> list[list[Course]]:
    """Return the courses of all arms in the world of one seed, for each budget.

    All of them have the same past until the first decision.
    """
    settings = SimulationSettings(seed=seed, cards=cards, fraud_share=fraud_share, reacting_fraudsters=True)
    world = DecidedWorld(settings)
    train_until = WARM_UP_DAYS + TRAIN_DAYS
    for _ in range(train_until + DELAY_DAYS):
        world.run_day()
    world.train(WARM_UP_DAYS, train_until)
    courses: list[list[Course]] = []
    for budget in budgets:
        courses.append([])
        for reacts in (False, True):
            courses[-1] += _both_courses(seed, world.fork(budget=budget, tells_fraudsters=reacts), reacts, train_until)
    return courses


def per_day(courses: Sequence[Course], arm: Arm, weeks: slice, field: str) -> list[float]:
    """Return the daily mean of a field over some weeks in each world, in the order of the seeds."""
    chosen = sorted((course for course in courses if course.arm == arm), key=lambda course: course.seed)
    return [float(np.mean([getattr(week, field) for week in course.weeks[weeks]])) / 7 for course in chosen]


def ratio(values: Sequence[float], of: Sequence[float]) -> IntervalEstimate:
    """Return the geometric mean of the ratios in the same worlds, with its interval."""
    logs = estimate(np.log(np.array(values) / np.array(of)).tolist())
    value, low, high = (float(np.exp(each)) for each in (logs.value, logs.low, logs.high))
    return IntervalEstimate(value=value, low=low, high=high)


def _both_courses(seed: int, world: DecidedWorld, reacts: bool, trained_until: int) -> list[Course]:
    """Return the courses of one world without and with a retraining."""
    before = [_week(world) for _ in range(WEEKS_BEFORE)]
    train_until = trained_until + WEEKS_BEFORE * 7
    world.forget_before(train_until - TRAIN_DAYS)
    courses = []
    for retrains in (False, True):
        branch = world.fork()
        if retrains:
            branch.train(train_until - TRAIN_DAYS, train_until)
        after = [_week(branch) for _ in range(WEEKS_AFTER)]
        courses.append(Course(seed=seed, arm=Arm(reacts=reacts, retrains=retrains), weeks=before + after))
    return courses


def _week(world: DecidedWorld) -> DecidedTransactions:
    days = [world.run_day() for _ in range(7)]
    return DecidedTransactions(*(sum(counts) for counts in zip(*days, strict=True)))
