"""Label states of archived decisions: the rows of the archive as `cardwatch.label_states` needs them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adapters.archive.arrow_columns import epoch_ms
from cardwatch.decision.overlay_rules import RULE_PREFIX
from cardwatch.events import Action
from cardwatch.features.reference_table import DAY_MS
from cardwatch.label_states import NO_LABEL, SAYS_FRAUD, SAYS_GENUINE, Flags, States, label_states, monitored_weights

_EPOCH: Final = date(1970, 1, 1)


def newest_verdicts(labels: pa.Table) -> dict[str, bool]:
    """Return for each labelled transaction whether its newest label says fraud."""
    newest_last = labels.sort_by(
        [("observed_at", "ascending"), ("partition", "ascending"), ("log_offset", "ascending")]
    )
    ids: list[Any] = newest_last["transaction_id"].to_pylist()
    verdicts: list[Any] = newest_last["is_fraud"].to_pylist()
    return dict(zip(ids, verdicts, strict=True))


def newest_label_codes(transaction_ids: pa.ChunkedArray[Any], labels: pa.Table) -> NDArray[np.int8]:
    """Return what the newest label of each transaction says, int8 [n], see `cardwatch.label_states`."""
    return label_codes(transaction_ids, newest_verdicts(labels))


def label_codes(transaction_ids: pa.ChunkedArray[Any], verdicts: Mapping[str, bool]) -> NDArray[np.int8]:
    """Return what the verdict on each transaction says, int8 [n], given those of `newest_verdicts`."""
    codes = np.full(len(transaction_ids), NO_LABEL, np.int8)
    for code, says in ((SAYS_FRAUD, True), (SAYS_GENUINE, False)):
        ids = pa.array([transaction for transaction, verdict in verdicts.items() if verdict is says], pa.string())
        codes[pc.is_in(transaction_ids, value_set=ids).to_numpy(zero_copy_only=False).astype(np.bool_)] = code
    return codes


def declined(decisions: pa.Table) -> Flags:
    """Return which decisions are declines, bool [n]."""
    is_declined = pc.equal(decisions["action"], pa.scalar(Action.DECLINE.value))
    flags: Flags = is_declined.to_numpy(zero_copy_only=False).astype(np.bool_)
    return flags


def declined_by_rules(decisions: pa.Table) -> Flags:
    """Return which decisions are declines in which rules had a part, bool [n]: degraded rules or the policy file's."""
    reasons = decisions["reasons"].combine_chunks()
    is_of_policy = pc.starts_with(pc.list_flatten(reasons), RULE_PREFIX)
    by_rules = decisions["degraded"].to_numpy(zero_copy_only=False).astype(np.bool_)
    by_rules[pc.list_parent_indices(reasons).filter(is_of_policy).to_numpy()] = True
    flags: Flags = declined(decisions) & by_rules
    return flags


def states_of(decisions: pa.Table, labels: pa.Table, day: date, maturity_days: int) -> States:
    """Return the label states of decisions at the end of `day`, int8 [n]; `labels` are those observed by then."""
    ages = (day - _EPOCH).days - epoch_ms(decisions) // DAY_MS
    return label_states(
        newest_label_codes(decisions["transaction_id"], labels), declined(decisions), ages, maturity_days
    )


def control_propensities(decisions: pa.Table) -> NDArray[np.float64]:
    """Return the propensity of each control row, float64 [n], NaN for all others."""
    column = decisions["control_propensity"].fill_null(pa.scalar(float("nan"), pa.float64()))
    return column.to_numpy().astype(np.float64)


def monitored_weights_of(
    decisions: pa.Table, states: States, *, largest_control_minor: float | None
) -> NDArray[np.float32]:
    """Return the weights by which performance is measured, float32 [n], see `monitored_weights`."""
    return monitored_weights(
        states,
        declined(decisions),
        decisions["amount_minor"].to_numpy(),
        control_propensities(decisions),
        largest_control_minor=largest_control_minor,
    )
