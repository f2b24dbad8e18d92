"""What-if: replays recorded decisions under another policy, another model or another capacity for alerts.

    recorded rows, in parts -> reproduce the recorded actions -> decide again -> compare

A row takes part if the policy that made it is known and gives the recorded action, control share included, when it
decides again. So what differs afterwards is the effect of the alternative, and of nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from enum import StrEnum

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from cardwatch.decision.alert_capacity import alert_price_minor, savings_of_alerts
from cardwatch.decision.control_share import ControlSample
from cardwatch.decision.cost_policy import ACTIONS, DecisionPolicy
from cardwatch.decision.decide_again import DecidedAgain, RecordedRows, decide_again, drawn, rescored
from cardwatch.decision.what_if_figures import Changes, ComparedRows, changes_of, concatenated
from cardwatch.events import Action
from cardwatch.label_states import States

FIRST_ROWS = 5
"""Number of left-out rows of each cause of which the position is told."""
_APPROVE = ACTIONS.index(Action.APPROVE)
_Flags = NDArray[np.bool_]


class LeftOutCause(StrEnum):
    """Why a row takes no part in the comparison."""

    OTHER_POLICY = "other_policy"
    """Another policy version decided it, which is not known."""
    ACTION = "action"
    """The policy that it names gives another action."""
    CONTROL_SHARE = "control_share"
    """The policy that it names draws it for the control share, or does not, unlike the record."""
    NOT_RECORDED = "not_recorded"
    """Its action depends on what the archive lacks: features of this schema, or the currency of its transaction."""


class LeftOut(Struct, frozen=True, kw_only=True):
    """Rows that are left out for one cause: how many, those of each policy version, and where the first of them lie."""

    cause: LeftOutCause
    rows: int
    by_version: dict[str, int]
    first: tuple[tuple[int, int], ...]
    """Positions in the log: partition and offset."""


class WhatIfRows(Struct, frozen=True, kw_only=True):
    """Some recorded decisions, such as those of a day, with what is known about them.

    `partitions` and `offsets`: int64 [n], positions in the log. `states`: int8 [n]. `typologies`: int64 [n], places in
    the names of the typologies, -1 where the truth is not known.
    """

    recorded: RecordedRows
    partitions: NDArray[np.int64]
    offsets: NDArray[np.int64]
    states: States
    typologies: NDArray[np.int64]


class Alternative(Struct, frozen=True, kw_only=True):
    """The alternative that is tried: a policy, which may be the current one, with a model or a capacity of its own.

    `score`: the probabilities of another model, float64 [m], from features, float32 [m, features]. `alerts`: the
    number of alerts that the whole range may have; the price of an alert follows from it.
    """

    policy: DecisionPolicy
    score: Callable[[NDArray[np.float32]], NDArray[np.float64]] | None = None
    alerts: int | None = None


class WhatIf(Struct, frozen=True, kw_only=True):
    """The answer. `changes` is None if no row could be reproduced.

    `rows` are all rows, `reproduced` those that take part. `alert_price_minor` is the price of an alert that keeps a
    capacity, None without one. `expected_control`: the control share of the alternative is an expectation, because the
    key that draws it was not given.
    """

    rows: int
    reproduced: int
    left_out: tuple[LeftOut, ...]
    alert_price_minor: float | None
    expected_control: bool
    changes: Changes | None


def what_if(
    parts: Sequence[WhatIfRows],
    alternative: Alternative,
    *,
    known: Sequence[DecisionPolicy],
    control: ControlSample | None,
    typologies: Sequence[str] = (),
    is_fraud: Sequence[bool] = (),
) -> WhatIf:
    """Return what the alternative would have changed.

    `known` are the policies whose decisions can be reproduced, first of all the current one: it values both sides.
    Without `control` the record tells which rows the control share has drawn, and for the alternative the share is an
    expectation. `typologies` and `is_fraud` as in `changes_of`.
    """
    current, policy, price = known[0], alternative.policy, None
    causes = [np.empty(0, np.int8)] * len(parts)
    if alternative.alerts is not None:
        causes = [_causes(part.recorded, known, control) for part in parts]
        price = _price(policy, [part.recorded for part in parts], causes, alternative.alerts)
        policy = structs.replace(policy, alert_price_minor=price)
    compared = []
    for number, part in enumerate(parts):
        rows = part.recorded
        if alternative.alerts is None:
            causes[number] = _causes(rows, known, control)
        instead = decide_again(policy, rows if alternative.score is None else rescored(rows, alternative.score))
        causes[number][(causes[number] == _KEPT) & ~instead.is_known] = _CODES[LeftOutCause.NOT_RECORDED]
        compared.append(compared_rows(part, instead, current, control).where(causes[number] == _KEPT))
    reproduced = sum(len(each.recorded) for each in compared)
    return WhatIf(
        rows=sum(len(each) for each in causes),
        reproduced=reproduced,
        left_out=_left_out(parts, causes),
        alert_price_minor=price,
        expected_control=control is None and policy.control.share > 0.0,
        changes=changes_of(concatenated(compared), current, typologies, is_fraud) if reproduced else None,
    )


def compared_rows(
    part: WhatIfRows, instead: DecidedAgain, costs: DecisionPolicy, control: ControlSample | None
) -> ComparedRows:
    """Return both sides of all rows of a part. `costs` will value them; without `control` its share is expected."""
    rows, shares = part.recorded, instead.control_shares
    return ComparedRows(
        recorded=rows.actions,
        instead=instead.actions,
        released=shares if control is None else drawn(rows, shares, control).astype(np.float64),
        was_control=~np.isnan(rows.propensities),
        amounts_minor=rows.amounts_in(costs),
        channels=rows.channels,
        states=part.states,
        typologies=part.typologies,
    )


_KEPT = -1
_CODES = {cause: code for code, cause in enumerate(LeftOutCause)}


def _causes(rows: RecordedRows, known: Sequence[DecisionPolicy], control: ControlSample | None) -> NDArray[np.int8]:
    """Return why each row is left out, int8 [n], a place in `LeftOutCause`; `_KEPT` where it is reproduced."""
    causes = np.full(len(rows.actions), _CODES[LeftOutCause.OTHER_POLICY], np.int8)
    for policy in known:
        if policy.version in rows.versions:
            made = rows.version_codes == rows.versions.index(policy.version)
            causes[made] = _differences(policy, rows, control)[made]
    return causes


def _differences(policy: DecisionPolicy, rows: RecordedRows, control: ControlSample | None) -> NDArray[np.int8]:
    again = decide_again(policy, rows)
    was_drawn = ~np.isnan(rows.propensities)
    subject = again.control_shares > 0.0
    is_drawn = subject & was_drawn if control is None else drawn(rows, again.control_shares, control)
    actions = np.where(is_drawn, _APPROVE, again.actions)
    same_share = np.where(is_drawn, rows.propensities == again.control_shares, ~was_drawn)
    causes = np.full(len(actions), _KEPT, np.int8)
    causes[(actions != rows.actions) | ~same_share] = _CODES[LeftOutCause.ACTION]
    causes[(causes != _KEPT) & ((is_drawn != was_drawn) & subject)] = _CODES[LeftOutCause.CONTROL_SHARE]
    causes[~again.is_known] = _CODES[LeftOutCause.NOT_RECORDED]
    return causes


def _price(
    policy: DecisionPolicy, parts: Sequence[RecordedRows], causes: Sequence[NDArray[np.int8]], alerts: int
) -> float:
    """Return the price at which the rows that take part have at most so many alerts; rules raise theirs at any."""
    savings: list[NDArray[np.float64]] = []
    for rows, causes_of in zip(parts, causes, strict=True):
        again, kept = decide_again(policy, rows), causes_of == _KEPT
        has_price = again.by_model & (again.overlay == _APPROVE)
        alerts -= int((kept & ~has_price & (again.actions != _APPROVE)).sum())
        priced = kept & has_price
        savings.append(
            savings_of_alerts(
                policy, rows.probabilities[priced], rows.amounts_in(policy)[priced], rows.channels[priced]
            )
        )
    return alert_price_minor(np.concatenate(savings), max(alerts, 0)) if savings else 0.0


def _left_out(parts: Sequence[WhatIfRows], causes: Sequence[NDArray[np.int8]]) -> tuple[LeftOut, ...]:
    found = []
    for cause, code in _CODES.items():
        first: list[tuple[int, int]] = []
        by_version: Counter[str] = Counter()
        for part, of_part in zip(parts, causes, strict=True):
            places = np.flatnonzero(of_part == code)
            if len(places):
                counts = np.bincount(part.recorded.version_codes[places], minlength=len(part.recorded.versions))
                by_version.update({part.recorded.versions[i]: int(counts[i]) for i in np.flatnonzero(counts).tolist()})
                some = places[: FIRST_ROWS - len(first)]
                first += zip(part.partitions[some].tolist(), part.offsets[some].tolist(), strict=True)
        if by_version:
            found.append(
                LeftOut(
                    cause=cause,
                    rows=by_version.total(),
                    by_version=dict(sorted(by_version.items())),
                    first=tuple(first),
                )
            )
    return tuple(found)
