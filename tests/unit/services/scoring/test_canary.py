"""A version in shadow decides nothing, a canary its share of the cards, and previews equal decisions in both stages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec import structs

from adapters.scoring.wire_format import BINARY, decode_scores
from cardwatch.decision.canary_cards import is_decided_by_canary
from cardwatch.events import Action, Decision, decode, encode
from cardwatch.registry import CANARY, CHAMPION, SHADOW
from models.training import FittedDetector, TrainingSettings, fit_detector
from tests.unit.services.scoring.test_previews import expected_answer
from tests.unit.services.scoring.worker import PAYMENTS, TREES, Service, folded, payments, rows

SHARE = 0.5


@pytest.fixture(scope="module")
def other() -> FittedDetector:
    """A model that suspects small amounts, unlike the champion."""
    train, calibrate = folded(payments(2_000, seed=13)), folded(payments(2_000, seed=14))
    return fit_detector(
        train,
        train[:, 0] < np.nanmedian(train[:, 0]),
        calibration_features=calibrate,
        calibration_is_fraud=calibrate[:, 0] < np.nanmedian(calibrate[:, 0]),
        settings=TrainingSettings(trees=TREES, depth=3, features_per_tree=1.0, max_bin=16, threads=1),
    )


@pytest.fixture
def canary(service: Service, other: FittedDetector) -> str:
    """The version of a canary that decides half of the cards."""
    version = service.registry.publish(other.files, CANARY)
    service.registry.canary_share = SHARE
    service.manager.refresh()
    return version


def chosen(decisions: list[Decision], version: str, share: float = SHARE) -> list[bool]:
    found: list[bool] = is_decided_by_canary(
        [decision.transaction.card_id for decision in decisions], version, share
    ).tolist()
    return found


def test_the_canary_decides_its_cards_and_the_champion_all_others_and_both_scores_are_recorded(
    service: Service, other: FittedDetector, canary: str
) -> None:
    decisions = service.decide(PAYMENTS)
    by_canary = chosen(decisions, canary)
    assert set(by_canary) == {True, False}
    assert [decision.model_version for decision in decisions] == [canary if each else "1" for each in by_canary]
    assert [decision.shadow_version for decision in decisions] == ["1" if each else canary for each in by_canary]
    assert {(decision.canary_version, decision.canary_share) for decision in decisions} == {(canary, SHARE)}

    recorded = [decode(encode(decision), Decision) for decision in decisions]
    features = np.array([decision.features for decision in recorded], np.float32)
    margins = {"1": service.detector.margins(features), canary: other.detector.margins(features)}
    for row, decision in enumerate(recorded):
        assert decision.margin == margins[str(decision.model_version)][row]
        assert decision.shadow_margin == margins[str(decision.shadow_version)][row]
        model = other.detector if decision.model_version == canary else service.detector
        if decision.action is not Action.APPROVE:
            assert decision.reasons == model.reasons(features[row : row + 1])[0]


def test_previews_one_by_one_and_together_equal_the_decisions_of_both_models(service: Service, canary: str) -> None:
    alone = [service.decide([question])[0] for question in PAYMENTS]
    assert [service.score(question) for question in PAYMENTS] == [expected_answer(decision) for decision in alone]
    assert service.score_batch(PAYMENTS) == [expected_answer(decision) for decision in service.decide(PAYMENTS)]
    alerts = [decision for decision in alone if decision.reasons]
    assert {decision.model_version for decision in alerts} == {"1", canary}


def test_a_larger_share_keeps_the_cards_of_the_canary(service: Service, canary: str) -> None:
    before = chosen(service.decide(PAYMENTS), canary)
    service.registry.canary_share = 0.9
    service.manager.refresh()
    decisions = service.decide(PAYMENTS)
    after = [decision.model_version == canary for decision in decisions]
    assert after == chosen(decisions, canary, 0.9)
    assert sum(after) > sum(before)
    assert all(late for early, late in zip(before, after, strict=True) if early)


def test_a_version_in_shadow_scores_everything_and_decides_nothing(service: Service, other: FittedDetector) -> None:
    alone = service.decide(PAYMENTS)
    version = service.registry.publish(other.files, SHADOW)
    service.registry.canary_share = SHARE  # of an earlier canary
    service.manager.refresh()
    decisions = service.decide(PAYMENTS)
    assert {(decision.shadow_version, decision.canary_version) for decision in decisions} == {(version, None)}
    assert [
        structs.replace(decision, shadow_version=None, shadow_margin=None, shadow_probability=None)
        for decision in decisions
    ] == alone


def test_a_promoted_canary_is_champion_alone_and_a_rollback_restores_the_one_before(
    service: Service, canary: str
) -> None:
    def served() -> set[tuple[Any, Any, Any]]:
        service.manager.refresh()
        return {(each.model_version, each.shadow_version, each.canary_version) for each in service.decide(PAYMENTS)}

    service.registry.pointers[CHAMPION] = canary  # the alias of the canary is removed a moment later
    assert served() == {(canary, None, None)}
    del service.registry.pointers[CANARY]
    assert served() == {(canary, None, None)}
    service.registry.pointers[CHAMPION] = "1"
    assert served() == {("1", None, None)}


def test_a_canary_that_cannot_be_loaded_leaves_all_cards_to_the_champion(
    service: Service, other: FittedDetector
) -> None:
    broken = {name: content[:-1] for name, content in other.files.items()}
    version = service.registry.publish(broken, CANARY)
    service.registry.canary_share = SHARE
    service.manager.refresh()
    assert {decision.model_version for decision in service.decide(PAYMENTS)} == {"1"}
    status = service.manager.status()
    assert (status.candidate, status.canary_share) == (None, None)
    assert status.candidate_refused is not None
    assert status.candidate_refused.version == version


def test_rows_get_the_scores_and_reasons_of_both_models(service: Service, other: FittedDetector, canary: str) -> None:
    features = rows(7)
    scores = decode_scores(service.invoke(features.tobytes(), BINARY, X_Reasons_Above="0.0").body)
    assert scores.canary is not None
    assert (scores.canary.model_version, scores.canary.share, scores.shadow) == (canary, SHARE, None)
    for found, model in ((scores, service.detector), (scores.canary, other.detector)):
        assert found.margins.tobytes() == model.margins(features).tobytes()
        assert found.reasons == model.reasons(features)
