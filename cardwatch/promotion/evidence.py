"""What the gate judges: the rows with both models' scores and decisions, and facts about how they came about."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from cardwatch.decision.cost_policy import ACTIONS, DecisionPolicy
from cardwatch.decision.policy_actions import control_propensities, costs_under_labels
from cardwatch.events import Action

APPROVE: Final = ACTIONS.index(Action.APPROVE)


class FeatureParity(Struct, frozen=True, kw_only=True):
    """How many judged rows of decisions equal the replayed ones to the bit.

    `rows` were compared, `differing` of them differ; `features` names those that differ in any row.
    """

    rows: int
    differing: int
    features: list[str]


class ScoringTime(Struct, frozen=True, kw_only=True):
    """Microseconds to score a judged row, the shortest of several measurements. The champion's is None without one."""

    challenger_us: float
    champion_us: float | None


class JudgedCoverage(Struct, frozen=True, kw_only=True):
    """Labels of the judged days: the transactions of these days, those of them that are judged, and their frauds.

    `unpriced` have a currency for which the policy has no rate: the degraded rules decide them, whatever the model. The
    others have no known outcome, such as declined ones that nobody investigated.
    """

    transactions: int
    judged: int
    frauds: int
    unpriced: int = 0

    @property
    def without_outcome(self) -> int:
        """The transactions whose outcome is not known."""
        return self.transactions - self.judged - self.unpriced


class AssembledInputs(Struct, frozen=True, kw_only=True):
    """What is recorded of the inputs when a training set is assembled at the end of day `as_of`.

    `log_ends` and `label_ends` are the next offsets per partition. `transactions` are those of each day of the
    evaluation window, whether their outcome is known or not.
    """

    as_of: date
    excluded_days: list[date]
    log_ends: dict[int, int]
    label_ends: dict[int, int]
    transactions: dict[date, int]
    feature_parity: FeatureParity


class JudgedInputs(Struct, frozen=True, kw_only=True):
    """Where the judged rows come from, as `inputs.json` of the verdict's bundle.

    The judged days are [`judged_from`, `judged_until`) without `excluded_days`, which may also lie outside of it.
    `log_ends` and `label_ends` are the next offsets per partition of transactions and of labels. `trained` says in
    words on which days the models were trained. `refit_digest` is that of the model that was fitted again and is
    registered in place of the judged one, None if the judged one is.
    """

    as_of: date
    trained_from: date
    evaluated_from: date
    judged_from: date
    judged_until: date
    excluded_days: list[date]
    trained: str
    fingerprint: str
    challenger_digest: str
    champion_version: str | None
    champion_digest: str | None
    schema_hash: str
    log_ends: dict[int, int]
    label_ends: dict[int, int]
    label_coverage: JudgedCoverage
    feature_parity: FeatureParity
    scoring_time: ScoringTime
    code_version: str
    numpy_version: str
    refit_digest: str | None = None

    @property
    def trained_until(self) -> date:
        """The first day after the training window of the registered model."""
        return self.evaluated_from if self.refit_digest is None else self.judged_until

    @property
    def excluded_judged_days(self) -> list[date]:
        """The excluded days of the judged window, in order."""
        return sorted(day for day in self.excluded_days if self.judged_from <= day < self.judged_until)


class JudgedModel(Struct, frozen=True, kw_only=True):
    """Margins, float32 [n], calibrated probabilities, float64 [n], and places in `ACTIONS`, int8 [n], of a model.

    The actions are those of model and rules, before the control share.
    """

    margins: NDArray[np.float32]
    probabilities: NDArray[np.float64]
    actions: NDArray[np.int8]

    def at(self, rows: NDArray[np.int64]) -> JudgedModel:
        """Return these rows."""
        return JudgedModel(
            margins=self.margins[rows], probabilities=self.probabilities[rows], actions=self.actions[rows]
        )


class Evidence(Struct, frozen=True, kw_only=True):
    """The n judged rows.

    `days` are days since 1970, `cards` any numbers that say which rows have the same card, `channels` places in
    `CHANNELS`, all int64 [n]. `amount_minor` is in minor units of the policy's currency. `weight` is the inverse of the
    probability with which the row's outcome became known, float64 [n]. `baselines` are the actions of simpler rules or
    models, int8 [n], and `slices` the names of slices, text [n], by the name of the division. `overlay` is what the
    rules of the policy file ask for, int8 [n] of places in `ACTIONS`, None if there are none; all actions contain it.
    `refit` are scores and decisions of the challenger's settings fitted again with these days, each row by trees that
    have not seen its card; see `cardwatch.promotion.refit`.
    """

    days: NDArray[np.int64]
    cards: NDArray[np.int64]
    amount_minor: NDArray[np.int64] | NDArray[np.float64]
    channels: NDArray[np.int64]
    is_fraud: NDArray[np.bool_]
    weight: NDArray[np.float64]
    challenger: JudgedModel
    champion: JudgedModel | None
    baselines: dict[str, NDArray[np.int8]] = field(default_factory=dict)
    slices: dict[str, NDArray[np.str_]] = field(default_factory=dict)
    refit: JudgedModel | None = None
    overlay: NDArray[np.int8] | None = None

    def in_canonical_order(self) -> Evidence:
        """Return the same rows, ordered by their content without the cards: sums then give the same bits."""
        models = [self.challenger, *([self.champion] if self.champion else [])]
        refits = [self.refit] if self.refit else []
        keys: list[NDArray[Any]] = [
            *(column for model in refits for column in (model.actions, model.probabilities, model.margins)),
            *self.slices.values(),
            *([] if self.overlay is None else [self.overlay]),
            *self.baselines.values(),
            *(model.actions for model in models),
            *(model.probabilities for model in models),
            *(model.margins for model in models),
            self.days,
            self.weight,
            self.is_fraud,
            self.channels,
            self.amount_minor,
        ]
        return self.at(np.lexsort(keys))

    def at(self, rows: NDArray[np.int64]) -> Evidence:
        """Return these rows."""
        return Evidence(
            days=self.days[rows],
            cards=self.cards[rows],
            amount_minor=self.amount_minor[rows],
            channels=self.channels[rows],
            is_fraud=self.is_fraud[rows],
            weight=self.weight[rows],
            challenger=self.challenger.at(rows),
            champion=self.champion and self.champion.at(rows),
            baselines={name: actions[rows] for name, actions in self.baselines.items()},
            slices={name: values[rows] for name, values in self.slices.items()},
            refit=self.refit and self.refit.at(rows),
            overlay=None if self.overlay is None else self.overlay[rows],
        )

    def costs_minor(self, policy: DecisionPolicy, actions: NDArray[np.int8]) -> NDArray[np.float64]:
        """Return what these actions cost under the labels, in minor units without the weight, float64 [n].

        Where the control share would approve some of them, it is the expected cost.
        """
        return costs_under_labels(policy, actions, self._overlay, self.is_fraud, self.amount_minor, self.channels)

    def alert_shares(self, policy: DecisionPolicy, actions: NDArray[np.int8]) -> NDArray[np.float64]:
        """Return the probability with which each row is an alert by these actions, float64 [n].

        It is 0 or 1, but for declines of which the control share approves a part.
        """
        approved = control_propensities(policy, actions, self._overlay, self.amount_minor)
        return np.where(actions == APPROVE, 0.0, 1.0 - approved)

    @property
    def _overlay(self) -> NDArray[np.int8]:
        return np.zeros(len(self.days), np.int8) if self.overlay is None else self.overlay


def places_of(actions: list[Action]) -> NDArray[np.int8]:
    """Return actions as places in `ACTIONS`, int8 [n]."""
    return np.array([ACTIONS.index(action) for action in actions], np.int8)
