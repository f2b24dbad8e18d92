"""Recorded decisions, decided again under any policy, as columns: what `decide` would do with the same rows.

The features, and the probability or the failure that left a row without one, are those of the record. A row without a
probability is decided by the degraded rules again, and so is one in a currency for which the policy has no rate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from cardwatch.decision.control_share import ControlSample
from cardwatch.decision.cost_policy import ACTIONS, DecisionPolicy
from cardwatch.decision.overlay_rules import FieldColumns, name_features, strictest_actions
from cardwatch.decision.policy_actions import actions_by_model, actions_by_rules, control_propensities
from cardwatch.events import Action

Places: TypeAlias = NDArray[np.int64]
"""Positions of some rows, int64 [m]."""
FeaturesOf: TypeAlias = Callable[[Places], NDArray[np.float32]]
"""Returns the features of some rows, float32 [m, features]."""
_APPROVE = ACTIONS.index(Action.APPROVE)


class RecordedRows(Struct, frozen=True, kw_only=True):
    """n recorded decisions. Arrays have n rows; what only some policies need is read by a function when it is needed.

    `actions`: int8, places in `ACTIONS`. `probabilities` and `amounts_minor`: float64; a probability is NaN where the
    rules decided, and the amount is in the currency of the transaction. `currency_codes`: int64, places in
    `currencies`, -1 where the currency is not known. `channels`: int64, as of `channels_of`. `propensities`: float64,
    NaN for all rows but those that the control share has approved. `has_features`: bool, whether the features have this
    version's schema. `version_codes`: int64, places in `versions`, the versions of the policies that decided.

    `features` and `transaction_ids` return those of some rows, `fields` a field of all rows.
    """

    actions: NDArray[np.int8]
    probabilities: NDArray[np.float64]
    amounts_minor: NDArray[np.float64]
    currencies: tuple[str, ...]
    currency_codes: NDArray[np.int64]
    channels: NDArray[np.int64]
    propensities: NDArray[np.float64]
    has_features: NDArray[np.bool_]
    versions: tuple[str, ...]
    version_codes: NDArray[np.int64]
    features: FeaturesOf
    fields: FieldColumns
    transaction_ids: Callable[[Places], list[str]]

    def amounts_in(self, currency_of: DecisionPolicy) -> NDArray[np.float64]:
        """Return the amounts in the currency of a policy, float64 [n], NaN where it has no rate."""
        if currency_of.currency is None:
            return self.amounts_minor
        rates = [currency_of.rate_of(name) for name in self.currencies]
        of_codes = np.array([*(np.nan if rate is None else rate for rate in rates), np.nan])  # the last is that of -1
        amounts: NDArray[np.float64] = self.amounts_minor * of_codes[self.currency_codes]
        return amounts


class DecidedAgain(Struct, frozen=True, kw_only=True):
    """What a policy does with n rows. `actions` and `overlay`: int8 [n], as in `policy_actions`.

    `control_shares`: float64 [n], the share of the control sample that an action is subject to, 0 for most. `by_model`:
    bool [n], False where rules decide because there is no probability, or no rate. `is_known`: bool [n], False where
    the action depends on features or a currency that the record lacks.
    """

    actions: NDArray[np.int8]
    overlay: NDArray[np.int8]
    control_shares: NDArray[np.float64]
    by_model: NDArray[np.bool_]
    is_known: NDArray[np.bool_]


def decide_again(policy: DecisionPolicy, rows: RecordedRows) -> DecidedAgain:
    """Return what the policy does with the rows, before anything is drawn for the control share."""
    amounts, overlay = rows.amounts_in(policy), np.zeros(len(rows.actions), np.int8)
    by_model = ~(np.isnan(rows.probabilities) | np.isnan(amounts))
    is_known = by_model | rows.has_features
    if policy.currency is not None:
        is_known &= rows.currency_codes >= 0
    if policy.rules:
        overlay = _overlay(policy, rows)
        if name_features(policy.rules):
            is_known &= rows.has_features
    actions = actions_by_model(policy, rows.probabilities, amounts, rows.channels, overlay)
    by_rules = np.flatnonzero(~by_model & is_known)
    if len(by_rules):
        actions[by_rules] = actions_by_rules(policy, rows.features(by_rules), overlay[by_rules])
    actions[~is_known] = _APPROVE
    return DecidedAgain(
        actions=actions,
        overlay=overlay,
        control_shares=control_propensities(policy, actions, overlay, amounts),
        by_model=by_model,
        is_known=is_known,
    )


def drawn(rows: RecordedRows, shares: NDArray[np.float64], control: ControlSample) -> NDArray[np.bool_]:
    """Return which rows the control sample approves, bool [n], given the share that each is subject to."""
    chosen = np.zeros(len(shares), np.bool_)
    subject = np.flatnonzero(shares)
    for row, name, share in zip(subject.tolist(), rows.transaction_ids(subject), shares[subject].tolist(), strict=True):
        chosen[row] = control.contains(name, share)
    return chosen


def rescored(rows: RecordedRows, score: Callable[[NDArray[np.float32]], NDArray[np.float64]]) -> RecordedRows:
    """Return the rows with the probabilities of another model, where a model decided.

    `score` takes float32 [m, features] and returns float64 [m]. A row whose features have another schema loses its
    probability, so that its action is not known.
    """
    probabilities = np.full(len(rows.actions), np.nan)
    scored = np.flatnonzero(~np.isnan(rows.probabilities) & rows.has_features)
    if len(scored):
        probabilities[scored] = score(rows.features(scored))
    return structs.replace(rows, probabilities=probabilities)


def _overlay(policy: DecisionPolicy, rows: RecordedRows) -> NDArray[np.int8]:
    """Return the actions that the rules ask for; 0, an approval, where they name features that a row lacks."""
    count = len(rows.actions)
    if not name_features(policy.rules):
        return strictest_actions(policy.rules, np.empty((count, 0), np.float32), rows.fields, policy.challenge_channels)
    places = np.flatnonzero(rows.has_features)
    overlay = np.zeros(count, np.int8)
    fields = rows.fields if len(places) == count else _some(rows.fields, places)
    overlay[places] = strictest_actions(policy.rules, rows.features(places), fields, policy.challenge_channels)
    return overlay


def _some(fields: FieldColumns, places: Places) -> FieldColumns:
    def values_of(name: str) -> list[str | None]:
        values = fields(name)
        return [values[place] for place in places.tolist()]

    return values_of
