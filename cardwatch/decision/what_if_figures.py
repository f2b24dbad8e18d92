"""What would have changed: the figures of recorded decisions and of other decisions about the same transactions.

Outcomes come from labels, with bounds over what declined transactions without an outcome may have been (Manski,
"Nonparametric bounds on treatment effects", American Economic Review 1990), and from the simulated truth where that is
known. Both sides are valued by the same costs. Customers and fraudsters are assumed to act as they did.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from cardwatch.decision.cost_policy import ACTIONS, CHANNELS, DecisionPolicy
from cardwatch.events import Action
from cardwatch.label_states import LabelCoverage, LabelState, States
from cardwatch.recall_bounds import Bounds, recall_bounds

_APPROVE, _CHALLENGE, _DECLINE = (
    ACTIONS.index(action) for action in (Action.APPROVE, Action.CHALLENGE, Action.DECLINE)
)
_Floats = NDArray[np.float64]


class ActionCounts(Struct, frozen=True, kw_only=True):
    """Numbers of transactions by action. `control`: those that the control share approved, which are approvals, too.

    They are expectations where it is not known which transactions the control share would have drawn.
    """

    approve: float
    challenge: float
    decline: float
    control: float

    @property
    def alerts(self) -> float:
        """Challenges and declines."""
        return self.challenge + self.decline


class KnownOutcomes(Struct, frozen=True, kw_only=True):
    """The outcomes by labels. Amounts are in minor units; immature transactions are not part of it.

    Frauds caught are expected numbers: of challenged fraud the share is caught that a challenge stops. Of alerts per
    fraud caught, which is None if none can have been caught, `high` is infinite if all censored rows may be genuine and
    nothing else was caught. `recall` is None if there may be no fraud.
    """

    frauds_caught: Bounds
    alerts_per_fraud_caught: Bounds | None
    recall: Bounds | None
    value_caught_minor: Bounds
    value_missed_minor: Bounds
    cost_minor: Bounds


class TrueOutcomes(Struct, frozen=True, kw_only=True):
    """The outcomes by the simulated truth, of all transactions that it knows, of any age."""

    frauds_caught: float
    alerts_per_fraud_caught: float | None
    value_caught_minor: float
    value_missed_minor: float
    cost_minor: float


class SideFigures(Struct, frozen=True, kw_only=True):
    """The figures of one side. `by_truth` is None where no truth is known."""

    actions: ActionCounts
    by_labels: KnownOutcomes
    by_truth: TrueOutcomes | None


class TypologyChange(Struct, frozen=True, kw_only=True):
    """The frauds of one typology, by the simulated truth: caught and missed on both sides."""

    typology: str
    frauds: int
    value_minor: float
    caught_recorded: float
    caught_instead: float
    missed_recorded_minor: float
    missed_instead_minor: float


class NowApproved(Struct, frozen=True, kw_only=True):
    """Recorded declines that would have been approved, and their value. `unknown` are those without an outcome."""

    rows: float
    value_minor: float
    unknown: float
    unknown_value_minor: float


class Changes(Struct, frozen=True, kw_only=True):
    """Both sides, and what lies between them.

    `moves[before][after]` counts transactions, with actions in the order of `ACTIONS`. `cost_minor` is the cost instead
    less the recorded one: bounds of the sum of the differences, which are tighter than those of either sum.
    `unpriced`: transactions in a currency without a rate, whose actions are counted and whose outcomes are not.
    `in_truth`: transactions whose truth is known.
    """

    rows: int
    unpriced: int
    in_truth: int
    recorded: SideFigures
    instead: SideFigures
    moves: tuple[tuple[float, float, float], ...]
    now_approved: NowApproved
    cost_minor: Bounds
    true_cost_minor: float | None
    coverage: LabelCoverage
    typologies: tuple[TypologyChange, ...]


class ComparedRows(Struct, frozen=True, kw_only=True):
    """n decisions on both sides. Actions are int8 [n], places in `ACTIONS`; `instead` is before the control share.

    `released`: float64 [n], the probability with which the control share approves instead. `was_control`: bool [n], the
    recorded control share. `amounts_minor`: float64 [n] in the currency of the costs, NaN without a rate. `typologies`:
    int64 [n], places in the names, -1 where the truth is not known.
    """

    recorded: NDArray[np.int8]
    instead: NDArray[np.int8]
    released: _Floats
    was_control: NDArray[np.bool_]
    amounts_minor: _Floats
    channels: NDArray[np.int64]
    states: States
    typologies: NDArray[np.int64]

    def where(self, chosen: NDArray[np.bool_]) -> ComparedRows:
        """Return some of the rows, all of them without a copy."""
        if chosen.all():
            return self
        return ComparedRows(**{name: getattr(self, name)[chosen] for name in self.__struct_fields__})


def concatenated(parts: Sequence[ComparedRows]) -> ComparedRows:
    """Return the rows of one or more parts."""
    if len(parts) == 1:
        return parts[0]
    names = ComparedRows.__struct_fields__
    return ComparedRows(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


class _Side(NamedTuple):
    """One side of some rows: shares of each row that are stopped fraud and alerts, and costs of genuine and fraud."""

    stopped: _Floats
    alerts: _Floats
    if_genuine: _Floats
    if_fraud: _Floats


def changes_of(
    rows: ComparedRows, costs: DecisionPolicy, typologies: Sequence[str] = (), is_fraud: Sequence[bool] = ()
) -> Changes:
    """Return what changes. `costs` values both sides: without its price of an alert, which is no money that is paid.

    `typologies` are the names of the codes of the rows, `is_fraud` tells for each whether it is fraud; both are empty
    where no truth is known.
    """
    nothing = np.zeros(len(rows.recorded))
    counts = _counts(rows.recorded, nothing, float(rows.was_control.sum()))
    instead = _counts(rows.instead, rows.released, float(rows.released.sum()))
    priced = rows.where(~np.isnan(rows.amounts_minor))
    before, after = _sides(priced, costs)
    mature = priced.states != LabelState.IMMATURE
    fraud_codes = np.flatnonzero(np.array(is_fraud, np.bool_))
    fraud, known = np.isin(priced.typologies, fraud_codes), priced.typologies >= 0
    has_truth = bool(len(typologies))
    true_before, true_after = (
        _true_outcomes(side, priced, fraud, known) if has_truth else None for side in (before, after)
    )
    difference = [after.if_genuine - before.if_genuine, after.if_fraud - before.if_fraud]
    return Changes(
        rows=len(rows.recorded),
        unpriced=len(rows.recorded) - len(priced.recorded),
        in_truth=int(known.sum()),
        recorded=SideFigures(actions=counts, by_labels=_known_outcomes(before, priced, mature), by_truth=true_before),
        instead=SideFigures(actions=instead, by_labels=_known_outcomes(after, priced, mature), by_truth=true_after),
        moves=_moves(rows),
        now_approved=_now_approved(priced),
        cost_minor=_sum_bounds(difference[0], difference[1], priced.states),
        true_cost_minor=float(np.where(fraud, difference[1], difference[0])[known].sum()) if has_truth else None,
        coverage=LabelCoverage.of(rows.states),
        typologies=tuple(
            _typology(typologies[code], priced.typologies == code, priced, before, after)
            for code in fraud_codes.tolist()
            if (priced.typologies == code).any()
        ),
    )


def _counts(actions: NDArray[np.int8], released: _Floats, control: float) -> ActionCounts:
    kept = np.bincount(actions, weights=1.0 - released, minlength=len(ACTIONS))
    return ActionCounts(
        approve=float(kept[_APPROVE] + released.sum()),
        challenge=float(kept[_CHALLENGE]),
        decline=float(kept[_DECLINE]),
        control=control,
    )


def _moves(rows: ComparedRows) -> tuple[tuple[float, float, float], ...]:
    size = len(ACTIONS)
    before = rows.recorded.astype(np.int64) * size
    moves = np.bincount(before + rows.instead, weights=1.0 - rows.released, minlength=size**2)
    moves += np.bincount(before + _APPROVE, weights=rows.released, minlength=size**2)
    return tuple((float(a), float(b), float(c)) for a, b, c in moves.reshape(size, size))


def _sides(rows: ComparedRows, costs: DecisionPolicy) -> tuple[_Side, _Side]:
    """Value both sides. A challenge has its costs in every channel here: one side may challenge where `costs` cannot.

    The tables of costs are computed once, since all rows have the same on both sides.
    """
    of = structs.replace(costs, alert_price_minor=0.0, challenge_channels=CHANNELS)
    certain = np.ones(len(rows.recorded))
    tables = [of.expected_costs(p * certain, rows.amounts_minor, rows.channels) for p in (0.0, 1.0)]
    stops = np.array([0.0, costs.challenge_stops_fraud, 1.0])

    def side(actions: NDArray[np.int8], released: _Floats) -> _Side:
        kept, places = 1.0 - released, actions.astype(np.int64)
        taken = [table[np.arange(len(places)), places] for table in tables]
        mixed = [
            cost if not released.any() else kept * cost + released * table[:, _APPROVE]
            for cost, table in zip(taken, tables, strict=True)
        ]
        return _Side(kept * stops[places], kept * (places != _APPROVE), *mixed)

    return side(rows.recorded, 0.0 * certain), side(rows.instead, rows.released)


def _known_outcomes(side: _Side, rows: ComparedRows, mature: NDArray[np.bool_]) -> KnownOutcomes:
    caught = _among_frauds(side.stopped, rows.states)
    alerts = float(side.alerts[mature].sum())
    return KnownOutcomes(
        frauds_caught=caught,
        alerts_per_fraud_caught=_per_fraud(alerts, caught),
        recall=recall_bounds(rows.states[mature], side.stopped[mature]),
        value_caught_minor=_among_frauds(side.stopped * rows.amounts_minor, rows.states),
        value_missed_minor=_among_frauds((1.0 - side.stopped) * rows.amounts_minor, rows.states),
        cost_minor=_sum_bounds(side.if_genuine, side.if_fraud, rows.states),
    )


def _per_fraud(alerts: float, caught: Bounds) -> Bounds | None:
    if not caught.high:
        return None
    return Bounds(alerts / caught.high, alerts / caught.low if caught.low else float("inf"))


def _among_frauds(values: _Floats, states: States) -> Bounds:
    """Bounds of a sum over the frauds: without and with the censored rows."""
    low = float(values[states == LabelState.KNOWN_FRAUD].sum())
    return Bounds(low, low + float(values[states == LabelState.CENSORED].sum()))


def _sum_bounds(if_genuine: _Floats, if_fraud: _Floats, states: States) -> Bounds:
    """Bounds of a sum over all mature rows, of which each censored one is genuine or fraud."""
    genuine = np.isin(states, (LabelState.KNOWN_GENUINE, LabelState.PRESUMED_GENUINE))
    known = float(if_fraud[states == LabelState.KNOWN_FRAUD].sum() + if_genuine[genuine].sum())
    censored = states == LabelState.CENSORED
    either = np.stack([if_genuine[censored], if_fraud[censored]])
    return Bounds(known + float(either.min(axis=0).sum()), known + float(either.max(axis=0).sum()))


def _true_outcomes(side: _Side, rows: ComparedRows, fraud: NDArray[np.bool_], known: NDArray[np.bool_]) -> TrueOutcomes:
    stopped, amounts = side.stopped[fraud], rows.amounts_minor[fraud]
    caught = float(stopped.sum())
    return TrueOutcomes(
        frauds_caught=caught,
        alerts_per_fraud_caught=float(side.alerts[known].sum()) / caught if caught else None,
        value_caught_minor=float(stopped @ amounts),
        value_missed_minor=float((1.0 - stopped) @ amounts),
        cost_minor=float(np.where(fraud, side.if_fraud, side.if_genuine)[known].sum()),
    )


def _now_approved(rows: ComparedRows) -> NowApproved:
    was_declined = rows.recorded == _DECLINE
    approved = np.where(rows.instead == _APPROVE, 1.0, rows.released) * was_declined
    unknown = approved * np.isin(rows.states, (LabelState.CENSORED, LabelState.IMMATURE))
    return NowApproved(
        rows=float(approved.sum()),
        value_minor=float(approved @ rows.amounts_minor),
        unknown=float(unknown.sum()),
        unknown_value_minor=float(unknown @ rows.amounts_minor),
    )


def _typology(name: str, of_it: NDArray[np.bool_], rows: ComparedRows, before: _Side, after: _Side) -> TypologyChange:
    amounts, recorded, instead = rows.amounts_minor[of_it], before.stopped[of_it], after.stopped[of_it]
    return TypologyChange(
        typology=name,
        frauds=len(amounts),
        value_minor=float(amounts.sum()),
        caught_recorded=float(recorded.sum()),
        caught_instead=float(instead.sum()),
        missed_recorded_minor=float((1.0 - recorded) @ amounts),
        missed_instead_minor=float((1.0 - instead) @ amounts),
    )
