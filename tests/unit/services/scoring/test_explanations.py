"""Contributions, margins and reasons of an explanation agree with the score."""

from __future__ import annotations

import asyncio
import json
import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from adapters.scoring.wire_format import DEADLINE_HEADER
from cardwatch.detector.detector import MAX_REASONS, Detector
from cardwatch.events import Action, encode
from cardwatch.features.definitions import FEATURES
from cardwatch.features.reason_codes import NEUTRAL_CODE, REASON_TEXTS, true_codes
from tests.unit.services.scoring.worker import (
    PAYMENTS,
    TREES,
    Service,
)

LARGEST = 4.0
ROUNDING = TREES * 2.0**-24 * LARGEST / 2.0
"""Maximum rounding error of a float32 sum below 4 of one leaf per tree: half of the last bit per addition."""


@pytest.mark.rubric("infra-5")
def test_contributions_add_up_to_the_margin_and_the_reasons_are_those_of_the_score(service: Service) -> None:
    assert ROUNDING < 1e-6
    alerts = 0
    for question in PAYMENTS:
        scored = service.score(question)
        explained = service.request("POST", "/v1/explain", encode(question)).json
        shares = [each["contribution"] for each in explained["contributions"]]
        assert abs(explained["margin"]) < LARGEST
        assert explained["expected_margin"] + sum(shares) == pytest.approx(explained["margin"], abs=ROUNDING)
        assert shares == sorted(shares, key=abs, reverse=True)
        same = ("transaction_id", "sequence", "model_version", "model_digest", "margin", "probability")
        assert [explained[name] for name in same] == [scored[name] for name in same]
        codes = [reason["code"] for reason in explained["reasons"]]
        assert [reason["text"] for reason in explained["reasons"]] == [REASON_TEXTS[code] for code in codes]
        if scored["action"] != "approve":
            alerts += 1
            assert codes == scored["reasons"]
    assert 0 < alerts < len(PAYMENTS)


@pytest.mark.rubric("infra-5")
def test_a_recorded_decision_is_explained_from_its_record_as_it_is(service: Service) -> None:
    for decision in service.decide(PAYMENTS):
        reply = service.request("POST", "/v1/explain/features", encode(decision))
        assert reply.status == 200
        explained = reply.json
        assert (explained["margin"], explained["probability"]) == (decision.margin, decision.probability)
        assert (explained["transaction_id"], explained["sequence"]) == (None, None)
        recorded = json.loads(encode(decision))["features"]
        values = {FEATURES[place].name: value for place, value in enumerate(recorded)}
        assert all(  # the values are float32, of which JSON has the shortest form
            each["value"] is None
            if values[each["feature"]] is None
            else np.float32(values[each["feature"]]) == np.float32(each["value"])
            for each in explained["contributions"]
        )
        [true] = true_codes(np.array([[np.nan if value is None else value for value in recorded]], np.float32))
        for each in explained["contributions"]:
            code = next(feature.reason for feature in FEATURES if feature.name == each["feature"])
            assert each["reason"] == (code if code in true else None)
        if decision.action is not Action.APPROVE:
            assert [reason["code"] for reason in explained["reasons"]] == decision.reasons
            assert decision.reasons
            assert true.issuperset(set(decision.reasons) - {NEUTRAL_CODE})


def test_a_request_without_an_explanation_does_not_wait_for_that_of_another(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = {payment.transaction_id: service.score(payment)["action"] for payment in PAYMENTS}
    alert = next(payment for payment in PAYMENTS if scored[payment.transaction_id] != "approve")
    approved = next(payment for payment in PAYMENTS if scored[payment.transaction_id] == "approve")
    begun, go = threading.Event(), threading.Event()
    original = Detector.reasons

    def slow(self: Detector, rows: NDArray[np.float32], limit: int = MAX_REASONS) -> list[list[str]]:
        begun.set()
        assert go.wait(30.0)
        return original(self, rows, limit)

    monkeypatch.setattr(Detector, "reasons", slow)

    async def ask() -> None:
        explained = asyncio.create_task(service.request_async("POST", "/v1/score", encode(alert)))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        other = await service.request_async("POST", "/v1/score", encode(approved))
        late = await service.request_async("POST", "/v1/score", encode(alert), **{DEADLINE_HEADER: "50"})
        assert (other.status, other.json["action"], explained.done()) == (200, "approve", False)
        assert (late.status, late.json["error"]) == (503, "busy: there is no answer within 50 ms")
        go.set()
        assert (await explained).json["reasons"]

    try:
        asyncio.run(ask())
    finally:
        go.set()
