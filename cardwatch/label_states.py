"""Label states: whether the outcome of a decided transaction is known at a point in time, and the weight of its row.

A declined payment never happens, so nobody charges it back: without a report its outcome stays unknown. This is the
problem of selective labels (Lakkaraju et al., "The selective labels problem", KDD 2017): such a row must not count as
genuine. It is censored, and every reader of labels leaves it out.

A policy may approve a small random share of the transactions that it would decline. Each of these control rows stands
for 1 / propensity transactions like it (Horvitz and Thompson, "A generalization of sampling without replacement from a
finite universe", JASA 1952), and so for the declined ones, too.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Any, Final

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
States = NDArray[np.int8]
"""A `LabelState` of each transaction, int8 [n]."""

NO_LABEL, SAYS_GENUINE, SAYS_FRAUD = -1, 0, 1
"""Codes of the newest label of a transaction."""


class LabelState(IntEnum):
    """The state of a transaction's outcome. The numbers are the codes of `States`."""

    KNOWN_FRAUD = 0
    """The newest label says fraud."""
    KNOWN_GENUINE = 1
    """The newest label says genuine: an investigator or the customer confirmed the payment."""
    PRESUMED_GENUINE = 2
    """It happened, its labels are mature, and nobody reported it."""
    CENSORED = 3
    """It was declined, and nobody said within maturity what it was. Nobody will ever know."""
    IMMATURE = 4
    """No label yet, and labels may still arrive."""


_Count = Annotated[int, Meta(ge=0, lt=2**62)]


class LabelCoverage(Struct, frozen=True, kw_only=True):
    """How many transactions are in each `LabelState`."""

    known_fraud: _Count = 0
    known_genuine: _Count = 0
    presumed_genuine: _Count = 0
    censored: _Count = 0
    immature: _Count = 0

    @classmethod
    def of(cls, states: States) -> LabelCoverage:
        """Count n states."""
        counts = np.bincount(states, minlength=len(LabelState))
        return cls(**{state.name.lower(): int(counts[state]) for state in LabelState})


OBSERVED: Final = (LabelState.KNOWN_FRAUD, LabelState.KNOWN_GENUINE, LabelState.PRESUMED_GENUINE)
"""The states in which the outcome is used."""


def label_states(
    newest_labels: NDArray[np.int8], is_declined: Flags, age_days: NDArray[np.integer[Any]], maturity_days: int
) -> States:
    """Return the state of n transactions at the end of a day.

    `newest_labels`: int8 [n], what the newest label that was observed by then says, `NO_LABEL` without one.
    `is_declined`: bool [n], False for approved and challenged transactions and for those without a decision.
    `age_days`: int [n], the number of days from the event day of each transaction to that day.

    A label counts at any age. Without one, a transaction is immature for `maturity_days`; after that a declined one is
    censored and any other is presumed to be genuine. This holds for challenged ones, because a failed challenge is
    followed by a label within a day: one without a label was passed.

    >>> labels = np.array([SAYS_FRAUD, NO_LABEL, NO_LABEL], np.int8)
    >>> declined, ages = np.array([True, True, False]), np.array([5, 5, 5])
    >>> [LabelState(state).name for state in label_states(labels, declined, ages, 5)]
    ['KNOWN_FRAUD', 'CENSORED', 'PRESUMED_GENUINE']
    """
    silent = np.where(is_declined, LabelState.CENSORED, LabelState.PRESUMED_GENUINE)
    unlabelled = np.where(age_days < maturity_days, LabelState.IMMATURE, silent)
    labelled = np.where(newest_labels == SAYS_FRAUD, LabelState.KNOWN_FRAUD, LabelState.KNOWN_GENUINE)
    states: States = np.where(newest_labels == NO_LABEL, unlabelled, labelled).astype(np.int8)
    return states


def is_observed(states: States) -> Flags:
    """Return which outcomes are used, bool [n]: those that are known, and those presumed to be genuine."""
    return np.isin(states, OBSERVED)


def monitored_weights(
    states: States,
    is_declined: Flags,
    amount_minor: NDArray[np.number[Any]],
    control_propensity: NDArray[np.float64],
    *,
    largest_control_minor: float | None = None,
) -> NDArray[np.float32]:
    """Return the weights by which a policy's performance is measured from its own decisions, float32 [n].

    What is measured must not depend on how many customers answer for declined payments, and it must be measurable
    before the policy decides anything, to be compared. So the population is what the policy does not decline, and with
    a control share also what the model alone would decline up to `largest_control_minor`, for which control rows stand.
    Declined rows have 0, also those with a label. Other arguments as in `control_weights`.
    """
    weights = control_weights(
        states, is_declined, amount_minor, control_propensity, largest_control_minor=largest_control_minor
    )
    largest = -np.inf if largest_control_minor is None else largest_control_minor
    weights[is_declined | (~np.isnan(control_propensity) & (amount_minor > largest))] = 0.0
    return weights


def is_measurable(
    would_decline: Flags,
    amount_minor: NDArray[np.number[Any]],
    largest_control_minor: float | None,
    declined_by_rules: Flags | None = None,
) -> Flags:
    """Return the population of `monitored_weights`, bool [n], for a model that would decline these transactions.

    `declined_by_rules`: as in `control_weights`. They are outside, whatever the model would do.
    """
    largest = -np.inf if largest_control_minor is None else largest_control_minor
    measurable: Flags = ~would_decline | (amount_minor <= largest)
    return measurable if declined_by_rules is None else measurable & ~declined_by_rules


def control_weights(
    states: States,
    is_declined: Flags,
    amount_minor: NDArray[np.number[Any]],
    control_propensity: NDArray[np.float64],
    *,
    largest_control_minor: float | None = None,
    declined_by_rules: Flags | None = None,
) -> NDArray[np.float32]:
    """Return the number of transactions that each row stands for, float32 [n], at least 0.

    A row whose outcome is not observed has 0. A control row has 1 / `control_propensity`, float64 [n], which is NaN for
    all other rows; these have 1.

    `largest_control_minor`: the largest amount that the policy's control share covers, None without a control share. It
    and `amount_minor` are in the currency of the policy; an amount is NaN, and not covered, if there is no rate for it.
    Declined rows up to that amount have 0, also those with a label, because the control rows already stand for them:
    with both, frauds that customers report would count twice. Sums of (weight x outcome) are then unbiased for rows up
    to that amount.

    `declined_by_rules`: bool [n], the declined rows in which rules of the policy file or degraded rules had a part,
    None for none. A control share takes only what the model alone declines, so control rows do not stand for these. Of
    them and of the declined rows above the largest amount only those with a label count: nothing but bounds can be
    given for them.
    """
    is_control = ~np.isnan(control_propensity)
    weights = np.where(is_control, 1.0 / np.where(is_control, control_propensity, 1.0), 1.0)
    if largest_control_minor is not None:
        is_covered = is_declined & (amount_minor <= largest_control_minor)
        weights[is_covered if declined_by_rules is None else is_covered & ~declined_by_rules] = 0.0
    weights[~is_observed(states)] = 0.0
    return weights.astype(np.float32)
