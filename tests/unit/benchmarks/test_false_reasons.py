"""The share of alerts with a false reason code, on a small simulated world with a trained detector."""

from __future__ import annotations

import numpy as np

from benchmarks.reason_codes import ReasonAudit, alerts_of, audit
from cardwatch.features.reason_codes import NEUTRAL_CODE, SUPPORTING_CODES
from cardwatch.simulation.settings import SimulationSettings
from models.prequential import PrequentialProtocol


def test_no_alert_of_a_trained_detector_has_a_false_reason_or_supporting_ones_only() -> None:
    alerts = alerts_of(
        SimulationSettings(seed=3, cards=300, merchants=200, fraud_share=0.03),
        PrequentialProtocol(train_days=14, delay_days=2, test_days=5, folds=1),
    )
    found = audit(alerts)
    assert 100 < len(alerts.rows) < alerts.tested
    assert found.now == alerts.detector.reasons(alerts.rows)
    assert found.false_now == 0.0 < found.false_before
    assert all(codes and not SUPPORTING_CODES.issuperset(codes) for codes in found.now)


def test_an_alert_counts_once_however_many_of_its_codes_are_false() -> None:
    found = ReasonAudit(
        before=[["PLACE", "NEW_DEVICE"], ["AMOUNT"], ["PLACE", "AMOUNT"], ["AMOUNT"]],
        now=[[NEUTRAL_CODE], ["AMOUNT", NEUTRAL_CODE], ["AMOUNT", "PLACE"], ["AMOUNT", "NEW_DEVICE"]],
        true=[set(), {"AMOUNT"}, {"AMOUNT"}, {"AMOUNT", "NEW_DEVICE"}],
    )
    assert (found.false_before, found.false_now, found.neutral) == (0.5, 0.25, 0.5)


def test_without_alerts_no_share_is_false() -> None:
    nothing = ReasonAudit(before=[], now=[], true=[])
    assert np.all(np.array([nothing.false_before, nothing.false_now, nothing.neutral]) == 0.0)
