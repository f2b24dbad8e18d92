"""Estimates of a policy's performance from its own decisions, repeated over random control shares and answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.decision.cost_policy import ACTIONS, DecisionPolicy
from cardwatch.label_states import NO_LABEL, SAYS_FRAUD, SAYS_GENUINE, control_weights, label_states
from models.evaluation import row_costs_minor
from models.selection_estimates import weighted_average_precision

DECLINE: Final = 2
MATURE: Final = 0
"""Age and maturity of all rows: these estimates are about mature days."""
METHODS: Final = ("silence counts as genuine", "censored rows left out", "control rows weighted")


class ScoredPopulation(NamedTuple):
    """n transactions with the truth: scores, the actions that the policy wants (positions in `ACTIONS`), amounts.

    `channels` as `channels_of` returns them.
    """

    margins: NDArray[np.float32]
    actions: NDArray[np.int8]
    is_fraud: NDArray[np.bool_]
    amount_minor: NDArray[np.int64]
    channels: NDArray[np.int64]

    def where(self, chosen: NDArray[np.bool_]) -> ScoredPopulation:
        """Return the chosen rows."""
        return ScoredPopulation(*(column[chosen] for column in self))


class Estimates(Struct, frozen=True, kw_only=True):
    """What is estimated: number of frauds, the policy's cost in minor units, average precision of the scores."""

    frauds: float
    cost_minor: float
    average_precision: float


class Exploration(Struct, frozen=True, kw_only=True):
    """One draw of a control share: its rows, and what approving them cost more than declining, in minor units."""

    control_rows: int
    price_minor: float


def covered(population: ScoredPopulation, largest_control_minor: float) -> ScoredPopulation:
    """Return the rows about which a control share can tell: all but the declined ones above its largest amount."""
    is_above = (population.actions == DECLINE) & (population.amount_minor > largest_control_minor)
    return population.where(~is_above)


class _Costs(NamedTuple):
    """The cost of the wanted action on each row in minor units if it is fraud, and if it is genuine, float64 [n]."""

    of_fraud: NDArray[np.float64]
    of_genuine: NDArray[np.float64]

    @classmethod
    def of(cls, population: ScoredPopulation, policy: DecisionPolicy) -> _Costs:
        # The cost is that of the policy itself: it declines control rows, too.
        wanted, amounts = [ACTIONS[action] for action in population.actions.tolist()], population.amount_minor
        every = np.ones(len(amounts), np.bool_)
        return cls(
            *(
                row_costs_minor(policy, wanted, truth, amounts, population.channels).incurred
                for truth in (every, ~every)
            )
        )


def truth(population: ScoredPopulation, policy: DecisionPolicy) -> Estimates:
    """Return what the estimates are about."""
    ones = np.ones(len(population.margins), np.float32)
    return _estimates(population, _Costs.of(population, policy), population.is_fraud, ones)


def draws(
    population: ScoredPopulation,
    policy: DecisionPolicy,
    *,
    share: float,
    confirmed_share: float,
    count: int,
    seed: int,
) -> Iterator[tuple[dict[str, Estimates], Exploration]]:
    """Yield the estimates of each of `METHODS` in `count` repetitions with other random numbers.

    In each one, would-be declines are approved with probability `share`; for a declined payment its customer answers
    with probability `confirmed_share` if it was fraud, and half as often if it was not. Everything else is labelled.
    `population` holds only `covered` rows.
    """
    rng = np.random.default_rng(seed)
    would_decline = population.actions == DECLINE
    costs = _Costs.of(population, policy)
    declines = [ACTIONS[DECLINE]] * len(population.margins)
    declining = row_costs_minor(policy, declines, population.is_fraud, population.amount_minor, population.channels)
    price = declining.of_approval - declining.incurred
    for _ in range(count):
        is_control = would_decline & (rng.random(len(would_decline)) < share)
        is_declined = would_decline & ~is_control
        answers = np.where(population.is_fraud, confirmed_share, confirmed_share / 2)
        is_labelled = ~is_declined | (rng.random(len(would_decline)) < answers)
        codes = np.where(is_labelled, np.where(population.is_fraud, SAYS_FRAUD, SAYS_GENUINE), NO_LABEL)
        states = label_states(codes.astype(np.int8), is_declined, np.full(len(codes), MATURE), MATURE)
        propensity = np.where(is_control, share, np.nan)
        known = population.is_fraud & is_labelled
        ones = np.ones(len(codes), np.float32)
        plain = np.where(is_labelled, ones, 0).astype(np.float32)
        weighted = control_weights(
            states, is_declined, population.amount_minor, propensity, largest_control_minor=np.inf
        )
        estimates = {
            method: _estimates(population, costs, known, weight)
            for method, weight in zip(METHODS, (ones, plain, weighted), strict=True)
        }
        spent = float(price[is_control].sum())
        yield estimates, Exploration(control_rows=int(is_control.sum()), price_minor=spent)


class RepeatedEstimate(Struct, frozen=True, kw_only=True):
    """Mean of an estimate over repetitions, its standard deviation, and the standard error of the mean."""

    mean: float
    deviation: float
    error: float

    @classmethod
    def of(cls, values: Sequence[float]) -> RepeatedEstimate:
        """Summarise the values of all repetitions."""
        deviation = float(np.std(values, ddof=1))
        return cls(mean=float(np.mean(values)), deviation=deviation, error=deviation / len(values) ** 0.5)


def summaries(repeated: Sequence[dict[str, Estimates]]) -> dict[str, dict[str, RepeatedEstimate]]:
    """Return method -> estimated quantity -> its summary."""
    return {
        method: {
            name: RepeatedEstimate.of([getattr(estimates[method], name) for estimates in repeated])
            for name in Estimates.__struct_fields__
        }
        for method in METHODS
    }


def _estimates(
    population: ScoredPopulation, costs: _Costs, is_fraud: NDArray[np.bool_], weight: NDArray[np.float32]
) -> Estimates:
    return Estimates(
        frauds=float(weight[is_fraud].sum(dtype=np.float64)),
        cost_minor=float(np.where(is_fraud, costs.of_fraud, costs.of_genuine) @ weight.astype(np.float64)),
        average_precision=weighted_average_precision(population.margins, is_fraud, weight) or 0.0,
    )
