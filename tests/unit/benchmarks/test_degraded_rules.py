"""The table of the degraded rules, by counting a handful of rows."""

from __future__ import annotations

import numpy as np

from benchmarks.degraded_rules import measure_rules
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.features.definitions import FEATURES, column


def test_rules_are_counted_together_and_by_code() -> None:
    features = np.full((4, len(FEATURES)), np.nan, np.float32)
    features[:, column("is_chip") : column("is_recurring") + 1] = 0.0
    features[:, column("is_ecommerce")] = 1.0
    features[[0, 1], column("device_frauds")] = 2.0
    features[1, column("count_1h")] = 9.0
    is_fraud = np.array([True, False, True, False])
    everything, device, velocity = measure_rules(
        DecisionPolicy(), features, is_fraud, np.array([300, 50, 100, 50], np.int64)
    )
    # Two alerts of four rows, one of the two frauds, 300 of 400 of their amount, one of two genuine rows.
    assert everything.cells == ("all rules", "500.00", "50.0 %", "75.0 %", "50.0 %", "50.000 %")
    assert device.cells == ("`RULE_DEVICE`", *everything.cells[1:])
    assert velocity.cells == ("`RULE_VELOCITY`", "250.00", "0.0 %", "0.0 %", "0.0 %", "50.000 %")
