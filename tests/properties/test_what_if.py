"""A what-if gives the actions that the decision path gives when it really decides the recorded rows again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import cast

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from adapters.archive.layout import SCHEMAS
from adapters.archive.recorded_rows import read_recorded_rows
from adapters.archive.tables import ArchivedTables
from adapters.archive.writer import decision_row, transaction_row
from cardwatch.decision.cost_policy import ACTIONS, DecisionPolicy
from cardwatch.decision.decide import Outcome
from cardwatch.decision.decide_again import decide_again, drawn, rescored
from cardwatch.decision.folding import FoldedTransactions
from cardwatch.decision.what_if import Alternative, what_if
from cardwatch.topics import DECISIONS, LABELS, TRANSACTIONS
from tests.properties.arbitrary_policies import KEY, PAYMENTS, POLICIES
from tests.recorded_decisions import DAY, decided, folded_payments, recorded


class OneDay:
    """An archive of one closed day in memory, without labels."""

    def __init__(self, transactions: pa.Table, decisions: pa.Table) -> None:
        self._tables = {TRANSACTIONS: transactions, DECISIONS: decisions}

    def closed_days(self) -> dict[date, str]:
        return {DAY: "table"}

    def labels(self, _observed_before: datetime, /) -> pa.Table:
        return SCHEMAS[LABELS].empty_table()

    def transaction_columns(self, _first: date, _last: date, columns: Sequence[str], /) -> pa.Table:
        return self._tables[TRANSACTIONS].select(["partition", "log_offset", *columns])

    def decision_columns(self, _first: date, _last: date, columns: Sequence[str], /) -> pa.Table:
        return self._tables[DECISIONS].select(["partition", "log_offset", *columns])


def archived(policy: DecisionPolicy, folded: FoldedTransactions, outcomes: Sequence[Outcome]) -> ArchivedTables:
    paid = [transaction_row(payment, 0, number) for number, payment in enumerate(folded.transactions)]
    made = [decision_row(decision) for decision in recorded(policy, folded, outcomes)]
    tables = OneDay(pa.Table.from_pylist(paid, SCHEMAS[TRANSACTIONS]), pa.Table.from_pylist(made, SCHEMAS[DECISIONS]))
    return cast(ArchivedTables, tables)


def taken(outcomes: Sequence[Outcome]) -> list[int]:
    return [ACTIONS.index(outcome.action) for outcome in outcomes]


@settings(max_examples=200, deadline=None)
@given(current=POLICIES, other=POLICIES, fields=PAYMENTS, data=st.data())
def test_the_actions_are_those_of_a_real_second_decision(
    current: DecisionPolicy, other: DecisionPolicy, fields: list[dict[str, object]], data: st.DataObject
) -> None:
    probabilities = data.draw(
        st.lists(st.none() | st.floats(0.0, 1.0), min_size=len(fields), max_size=len(fields)), label="probabilities"
    )
    folded = folded_payments(fields)
    outcomes = decided(current, folded, probabilities)
    [part] = read_recorded_rows(
        archived(current, folded, outcomes), DAY, DAY, policies=[current, other], maturity_days=5
    )
    rows = part.recorded

    for key in (KEY, None):  # the record tells which rows were drawn as well as the key does
        reproduced = what_if([part], Alternative(policy=current), known=[current], control=key)
        assert (reproduced.reproduced, reproduced.left_out) == (len(fields), ())
    given_then = [outcome.probability for outcome in outcomes]
    again = decide_again(other, rows)
    assert again.is_known.all()
    actions = np.where(drawn(rows, again.control_shares, KEY), 0, again.actions)
    assert actions.tolist() == taken(decided(other, folded, given_then))
    compared = what_if([part], Alternative(policy=other), known=[current], control=KEY).changes
    assert compared is not None
    assert [sum(column) for column in zip(*compared.moves, strict=True)] == np.bincount(actions, minlength=3).tolist()

    model = np.linspace(0.0, 1.0, len(fields))  # another model: its probabilities, where a model decided
    of_model = rescored(rows, lambda features: model[: len(features)])
    others = iter(model)
    expected = [None if probability is None else next(others) for probability in given_then]
    again = decide_again(current, of_model)
    actions = np.where(drawn(rows, again.control_shares, KEY), 0, again.actions)
    assert actions.tolist() == taken(decided(current, folded, expected))


@settings(max_examples=100, deadline=None)
@given(current=POLICIES, fields=PAYMENTS, alerts=st.integers(0, 12), data=st.data())
def test_a_capacity_leaves_no_more_alerts_than_it_allows_unless_rules_raise_them(
    current: DecisionPolicy, fields: list[dict[str, object]], alerts: int, data: st.DataObject
) -> None:
    probabilities = data.draw(st.lists(st.floats(0.0, 1.0), min_size=len(fields), max_size=len(fields)))
    current = structs.replace(current, alert_price_minor=0.0)
    folded = folded_payments(fields)
    outcomes = decided(current, folded, probabilities)
    parts = read_recorded_rows(archived(current, folded, outcomes), DAY, DAY, policies=[current], maturity_days=5)
    result = what_if(parts, Alternative(policy=current, alerts=alerts), known=[current], control=KEY)
    assert result.changes is not None and result.alert_price_minor is not None
    priced = structs.replace(current, alert_price_minor=result.alert_price_minor)
    again = decide_again(priced, parts[0].recorded)
    by_rules = int(((again.overlay > 0) | ~again.by_model)[again.actions > 0].sum())
    assert result.changes.instead.actions.alerts <= max(alerts, by_rules)
    assert (
        taken(decided(priced, folded, [outcome.probability for outcome in outcomes]))
        == np.where(drawn(parts[0].recorded, again.control_shares, KEY), 0, again.actions).tolist()
    )
