"""Amounts of archived decisions in the currency of the policy."""

from __future__ import annotations

import math

import pyarrow as pa

from adapters.archive.policy_amounts import with_amounts_in_currency_of
from cardwatch.decision.cost_policy import DecisionPolicy

POLICY = DecisionPolicy(currency="EUR", rates={"JPY": 0.5})


def table(positions: list[tuple[int, int]], **columns: list[object]) -> pa.Table:
    partitions, offsets = zip(*positions, strict=True) if positions else ((), ())
    return pa.table(
        {"partition": pa.array(partitions, pa.int32()), "log_offset": pa.array(offsets, pa.int64()), **columns}
    )


def test_the_currency_of_a_decision_is_that_of_the_transaction_at_its_position() -> None:
    transactions = table([(0, 7), (1, 7), (0, 8)], currency=["JPY", "EUR", "USD"])
    decisions = table([(1, 7), (0, 7), (0, 8), (2, 7)], amount_minor=[100, 100, 100, 100], action=["a", "b", "c", "d"])
    found = with_amounts_in_currency_of(POLICY, decisions, transactions)

    [euros, yen, without_rate, without_transaction] = found["amount_minor"].to_pylist()
    assert (euros, yen) == (100.0, 50.0)
    assert math.isnan(without_rate)
    assert math.isnan(without_transaction)
    assert found.drop_columns("amount_minor") == decisions.drop_columns("amount_minor")


def test_without_transactions_or_decisions_no_amount_is_known() -> None:
    none = table([], currency=pa.array([], pa.string()))
    decisions = table([(0, 1)], amount_minor=[100])

    assert math.isnan(with_amounts_in_currency_of(POLICY, decisions, none)["amount_minor"][0].as_py())
    assert with_amounts_in_currency_of(POLICY, decisions.slice(0, 0), none).num_rows == 0
