"""Trials of the gate on rows that were scored beforehand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import permutations
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from benchmarks.gate.other_bounds import other_bounds
from benchmarks.gate.worlds import CHANNELS, ScoredWorld
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.features.definitions import FEATURES, column
from cardwatch.promotion.card_sums import sums_by_card
from cardwatch.promotion.evidence import (
    Evidence,
    FeatureParity,
    JudgedCoverage,
    JudgedInputs,
    JudgedModel,
    ScoringTime,
    places_of,
)
from cardwatch.promotion.gate import judge
from cardwatch.promotion.paired_bootstrap import bound_saving
from cardwatch.promotion.policy import PromotionPolicy
from cardwatch.promotion.slices import slices_of
from cardwatch.promotion.verdict import Verdict

RESAMPLES: Final = 1_999
WEEK: Final = 7
SMALL_CARDS: Final = 2_000
GATE: Final = "gate"
FRAUD_IF_KNOWN: Final = 0.95
GENUINE_IF_KNOWN: Final = 0.0005
"""Probabilities of a model that knows the truth. It fills up what the retrained model does not save."""
_DAY_0: Final = date(1970, 1, 1)


class GateTrial(Struct, frozen=True, kw_only=True):
    """One challenger judged. `bounds` are lower bounds of the saving by method; `failed` names the missed requirements.

    `true_saving` is that of all cards of the world in the same days.
    """

    kind: str
    world: int
    saving: float
    true_saving: float
    bounds: dict[str, float]
    promoted: bool
    failed: list[str]


class JudgedWorld:
    """A scored world with the decisions and costs of all its models."""

    def __init__(self, number: int, world: ScoredWorld, plan_calm_days: int) -> None:
        self.number, self.world = number, world
        self.policy = DecisionPolicy()
        amounts = world.amount_minor.astype(np.float64)
        self.days = world.days - world.days.min()
        self.calm_days = plan_calm_days
        self.changed = np.flatnonzero(self.days >= plan_calm_days)
        self.first_changed = int(self.days[self.changed].min())
        knowing = np.where(world.is_fraud, FRAUD_IF_KNOWN, GENUINE_IF_KNOWN)
        self.probabilities = np.vstack([world.probabilities, knowing])
        self.actions = np.stack(
            [places_of(self.policy.decide(each, amounts, world.channels)) for each in self.probabilities]
        )
        self.costs = np.stack([self._costs(actions) for actions in self.actions])
        self._slices = slices_of(_slice_features(world))

    @property
    def equal_models(self) -> range:
        """The models that differ by their seed only."""
        return range(len(self.world.probabilities) - 1)

    def saving(self, champion: int, challenger: int, rows: NDArray[np.int64]) -> float:
        """The saving of a model over another on these rows."""
        before = self.costs[champion][rows].sum()
        return float(1.0 - self.costs[challenger][rows].sum() / before)

    def _costs(self, actions: NDArray[np.int8]) -> NDArray[np.float64]:
        world = self.world
        costs = self.policy.expected_costs(
            world.is_fraud.astype(np.float64), world.amount_minor.astype(np.float64), world.channels
        )
        return np.take_along_axis(costs, actions.astype(np.int64)[:, None], axis=1)[:, 0]

    def try_equal(self, kind: str, rows: NDArray[np.int64]) -> Iterator[GateTrial]:
        """Judge every model with the place of every other one on these rows."""
        for champion, challenger in permutations(self.equal_models, 2):
            yield self._trial(kind, rows, champion, np.full(len(rows), challenger), 0.0)

    def try_cheaper(self, kind: str, rows: NDArray[np.int64], goal: float, seed: int) -> Iterator[GateTrial]:
        """Judge a challenger that decides as the retrained model for so many cards that it saves `goal`.

        If the retrained model itself saves less, the challenger knows the truth for some of the cards. The saving is
        that of all changed days.
        """
        retrained, knowing = len(self.actions) - 2, len(self.actions) - 1
        cards = int(self.world.cards.max()) + 1
        for champion in self.equal_models:
            reached = self.saving(champion, retrained, self.changed)
            if reached >= goal:
                share, model, otherwise = goal / reached, retrained, champion
            else:
                most = self.saving(champion, knowing, self.changed)
                share, model, otherwise = (goal - reached) / (most - reached), knowing, retrained
            chosen = np.random.default_rng([seed, champion]).random(cards) < share
            model_of_row = np.where(chosen[self.world.cards[rows]], model, otherwise)
            yield self._trial(kind, rows, champion, model_of_row, goal)

    def _trial(
        self,
        kind: str,
        rows: NDArray[np.int64],
        champion: int,
        challenger: NDArray[np.int64],
        true_saving: float,
    ) -> GateTrial:
        """Judge the challenger that decides each row as the model with this place."""
        world, promotion = self.world, PromotionPolicy()
        before, after = self.costs[champion, rows], self.costs[challenger, rows]
        sums = sums_by_card(world.cards[rows], before - after, before)
        found = bound_saving(sums, error_rate=promotion.error_rate_per_trial, resamples=RESAMPLES)
        bound = -np.inf if found.lower_bound is None else found.lower_bound
        verdict = self._judge(rows, champion, challenger) if bound > promotion.minimum_gain else None
        return GateTrial(
            kind=kind,
            world=self.number,
            saving=found.saving,
            true_saving=true_saving,
            bounds={GATE: bound, **other_bounds(sums, promotion.error_rate_per_trial)},
            promoted=verdict is not None and verdict.promoted,
            failed=[reason for reason in verdict.reasons if reason.startswith("FAILED")] if verdict else [],
        )

    def _judge(self, rows: NDArray[np.int64], champion: int, challenger: NDArray[np.int64]) -> Verdict:
        """The whole gate; without it nothing is promoted that does not pass its main test."""
        world = self.world
        evidence = Evidence(
            days=world.days[rows],
            cards=world.cards[rows],
            amount_minor=world.amount_minor[rows],
            channels=world.channels[rows],
            is_fraud=world.is_fraud[rows],
            weight=np.ones(len(rows)),
            challenger=_judged(self.probabilities[challenger, rows], self.actions[challenger, rows]),
            champion=_judged(self.probabilities[champion, rows], self.actions[champion, rows]),
            slices={division: names[rows] for division, names in self._slices.items()},
        )
        return judge(
            evidence, _inputs(evidence), decision=self.policy, promotion=PromotionPolicy(), resamples=RESAMPLES
        ).verdict


def small_trials(world: JudgedWorld) -> Iterator[GateTrial]:
    """Trials of a world of 2,000 cards, a week each."""
    for first in range(0, world.calm_days, WEEK):
        yield from world.try_equal("equal, 2,000 cards, 7 days", _rows(world, first, first + WEEK))
    for week, first in enumerate((world.first_changed, world.first_changed + WEEK)):
        rows = _rows(world, first, first + WEEK)
        yield from world.try_cheaper("50 % cheaper, 2,000 cards, 7 days", rows, 0.5, week)


def large_trials(world: JudgedWorld, repetitions: int) -> Iterator[GateTrial]:
    """Trials of a world of 30,000 cards: all of them for two weeks, and parts of 2,000 cards for a week."""
    until = world.calm_days
    yield from world.try_equal("equal, 30,000 cards, 14 days", _rows(world, 0, until))
    for seed in range(repetitions):
        yield from world.try_cheaper("20 % cheaper, 30,000 cards, 14 days", world.changed, 0.2, seed)
    cards = int(world.world.cards.max()) + 1
    part_of_card = np.random.default_rng(world.number).permutation(cards) // SMALL_CARDS
    for part in range(cards // SMALL_CARDS):
        for first in range(0, until, WEEK):
            rows = _rows(world, first, first + WEEK)
            yield from world.try_equal(
                "equal, 2,000 of 30,000 cards, 7 days", rows[part_of_card[world.world.cards[rows]] == part]
            )
        for week, first in enumerate((world.first_changed, world.first_changed + WEEK)):
            rows = _rows(world, first, first + WEEK)
            rows = rows[part_of_card[world.world.cards[rows]] == part]
            yield from world.try_cheaper("50 % cheaper, 2,000 of 30,000 cards, 7 days", rows, 0.5, 100 * part + week)


def _rows(world: JudgedWorld, first: int, until: int) -> NDArray[np.int64]:
    return np.flatnonzero((world.days >= first) & (world.days < until))


def _slice_features(world: ScoredWorld) -> NDArray[np.float32]:
    """Feature rows with those features only that slices use."""
    features = np.zeros((len(world.days), len(FEATURES)), np.float32)
    places = np.array([column(name) for name in CHANNELS])
    features[np.arange(len(features)), places[world.channels]] = 1.0
    features[:, column("amount")] = world.amount_minor / 100.0
    features[:, column("merchant_category")] = world.merchant_category
    features[:, column("history_length")] = world.history_length
    return features


def _judged(probabilities: NDArray[np.float64], actions: NDArray[np.int8]) -> JudgedModel:
    return JudgedModel(margins=probabilities.astype(np.float32), probabilities=probabilities, actions=actions)


def _inputs(evidence: Evidence) -> JudgedInputs:
    first = _DAY_0 + timedelta(days=int(evidence.days.min()))
    return JudgedInputs(
        as_of=first,
        trained_from=first,
        evaluated_from=first,
        judged_from=first,
        judged_until=_DAY_0 + timedelta(days=int(evidence.days.max()) + 1),
        excluded_days=[],
        trained="",
        fingerprint="",
        challenger_digest="",
        champion_version="",
        champion_digest="",
        schema_hash="",
        log_ends={},
        label_ends={},
        label_coverage=JudgedCoverage(transactions=0, judged=0, frauds=0),
        feature_parity=FeatureParity(rows=0, differing=0, features=[]),
        scoring_time=ScoringTime(challenger_us=0.0, champion_us=None),
        code_version="",
        numpy_version="",
    )
