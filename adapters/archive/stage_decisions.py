"""Recorded decisions of the days on which a version was in shadow or canary, from the archive."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct
from numpy.typing import NDArray

from adapters.archive.arrow_columns import Arrow, distinct
from adapters.archive.recorded_rows import read_recorded_rows
from adapters.archive.tables import ArchivedTables
from adapters.runtime.policy_file import Policies
from cardwatch.decision.canary_cards import is_decided_by_canary
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.label_states import LabelState, is_observed
from cardwatch.ladder.stage_checks import canary_verdict, shadow_verdict
from cardwatch.ladder.stage_rows import StageColumns, StageRows, stage_rows
from cardwatch.ladder.stage_verdict import StageVerdict
from cardwatch.ladder.state import LadderState

_COLUMNS: Final = (
    "card_id", "model_version", "probability", "shadow_version", "shadow_probability", "canary_version",
    "canary_share", "degraded",
)  # fmt: skip


class StageOf(Struct, frozen=True, kw_only=True):
    """Whose stage it is: the candidate's, beside this champion. `canary_share`: of the cards; None for the shadow."""

    candidate: str
    champion: str
    canary_share: float | None = None


def read_stage(
    archive: ArchivedTables, first: date, last: date, stage: StageOf, policy: DecisionPolicy, maturity_days: int
) -> list[StageRows]:
    """Return the decisions of the days, both ends included, a part for each day that has some.

    Of a shadow these are all decisions of the days, so that those without a score of the candidate show. Of a canary
    they are those that were made while it decided `canary_share`.
    """
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return [rows for day in days if (rows := _read_day(archive, day, stage, policy, maturity_days)) and len(rows.cards)]


def candidate_verdict(
    archive: ArchivedTables, ladder: LadderState, day: date, policies: Policies
) -> StageVerdict | None:
    """Return the verdict on the version in shadow or canary, over the days from its last move to `day`.

    None if there is no such version, or no champion to compare it with.
    """
    candidate, champion = ladder.served_candidate, ladder.champion
    if candidate is None or champion is None:
        return None
    stage = StageOf(candidate=candidate.version, champion=champion.version, canary_share=ladder.canary_share)
    first = candidate.day or day
    rows = read_stage(archive, first, day, stage, policies.decision, policies.drift.maturity_days)
    verdict = shadow_verdict if ladder.canary is None else canary_verdict
    return verdict(rows, policies.ladder)


def _read_day(
    archive: ArchivedTables, day: date, stage: StageOf, policy: DecisionPolicy, maturity_days: int
) -> StageRows | None:
    parts = read_recorded_rows(archive, day, day, policies=[policy], maturity_days=maturity_days)
    if not parts:
        return None
    [rows] = parts
    decisions = archive.decision_columns(day, day, _COLUMNS)
    cards, codes = distinct(decisions["card_id"])
    chooses = is_decided_by_canary(cards, stage.candidate, stage.canary_share) if stage.canary_share else None
    columns = StageColumns(
        day=day,
        champion_probabilities=_probabilities(decisions, stage.champion),
        candidate_probabilities=_probabilities(decisions, stage.candidate),
        cards=codes,
        is_by_canary=_equal(decisions, "model_version", stage.candidate),
        is_canary_card=np.zeros(len(codes), np.bool_) if chooses is None else chooses[codes],
        is_degraded=decisions["degraded"].to_numpy(zero_copy_only=False).astype(np.bool_),
        is_fraud=rows.states == LabelState.KNOWN_FRAUD,
        is_known=is_observed(rows.states),
    )
    whole = stage_rows(policy, rows.recorded, columns)
    if stage.canary_share is None:
        return whole
    decides = _equal(decisions, "canary_version", stage.candidate)
    return whole.at(np.flatnonzero(decides & (_numbers(decisions, "canary_share") == stage.canary_share)))


def _equal(decisions: pa.Table, name: str, version: str) -> NDArray[np.bool_]:
    """Which decisions name this version, bool [n]."""
    equal: Arrow = pc.equal(decisions[name], pa.scalar(version))
    found: NDArray[np.bool_] = equal.fill_null(False).to_numpy(zero_copy_only=False).astype(np.bool_)
    return found


def _numbers(decisions: pa.Table, name: str) -> NDArray[np.float64]:
    numbers: NDArray[np.float64] = decisions[name].fill_null(pa.scalar(float("nan"), pa.float64())).to_numpy()
    return numbers


def _probabilities(decisions: pa.Table, version: str) -> NDArray[np.float64]:
    """The probabilities that this version gave, whether it decided or not; NaN where it gave none."""
    found = np.full(decisions.num_rows, np.nan)
    for name, values in (("model_version", "probability"), ("shadow_version", "shadow_probability")):
        own = _equal(decisions, name, version)
        found[own] = _numbers(decisions, values)[own]
    return found
