"""A preview equals the decision of the stream worker, by model and by rules."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec import structs

from adapters.feature_store.lmdb import data_file
from adapters.scoring.wire_format import (
    JSON,
)
from cardwatch.decision.control_share import ControlSample, ControlShare
from cardwatch.decision.overlay_rules import OverlayRule, RuleCondition
from cardwatch.decision.records import Preview
from cardwatch.events import EPOCH, Action, Channel, Decision, encode, utc_day
from cardwatch.features.hashing import known_identity_hash
from cardwatch.features.reference_table import MERCHANT_VALUES, WINDOW_DAYS, ReferenceTable
from cardwatch.partitioning import UNCHECKED
from cardwatch.ports import Scores
from services.scoring.api.card_states import CardStateReader
from services.scoring.api.preview import PreviewScorer
from services.scoring.aws.remote_preview import RemotePreviewScorer
from services.scoring.model.manager import ModelManager
from services.stream.batch import fold_batch
from tests.unit.services.scoring.worker import (
    HISTORY,
    PAYMENTS,
    POLICY,
    Service,
    json_rows,
    payments,
    record_of,
)


def expected_answer(decision: Decision) -> dict[str, Any]:
    """Return the preview that corresponds to a decision of the stream worker."""
    return {
        "transaction_id": decision.transaction.transaction_id,
        "sequence": decision.sequence,
        "table_id": decision.table_id,
        "model_version": decision.model_version,
        "model_digest": decision.model_digest,
        "policy_version": decision.policy_version,
        "margin": decision.margin,
        "probability": decision.probability,
        "action": decision.action.value,
        "reasons": decision.reasons,
        "degraded": decision.degraded,
        "degraded_reason": decision.degraded_reason,
        "control_propensity": decision.control_propensity,
        "repeated": False,
    }


def table_of(day: date) -> ReferenceTable:
    """Return a table with the values of some merchants, valid from `day`."""
    random = np.random.default_rng(11)
    hashes = np.sort(np.array([known_identity_hash(f"merchant-{number}") for number in range(15)], np.uint64))
    values = random.uniform(0.5, 20.0, (len(hashes), len(MERCHANT_VALUES))).astype(np.float32)
    return ReferenceTable.of_merchants((day - EPOCH.date()).days, hashes, values)


@pytest.mark.parametrize(
    ("table_age_days", "actions", "is_degraded"),
    [
        (None, set(Action), False),
        (0, set(Action), False),
        (WINDOW_DAYS - 1, set(Action), False),
        (WINDOW_DAYS, {Action.APPROVE, Action.CHALLENGE}, True),
    ],
)
def test_a_preview_equals_the_decision_of_the_stream_by_model_and_by_rules(
    service: Service, table_age_days: int | None, actions: set[Action], is_degraded: bool
) -> None:
    if table_age_days is not None:
        service.tables.put(table_of(utc_day(PAYMENTS[0].occurred_at) - timedelta(days=table_age_days)))
    alone = [service.decide([question])[0] for question in PAYMENTS]
    assert {decision.action for decision in alone} == actions
    assert {decision.degraded for decision in alone} == {is_degraded}
    assert all(bool(decision.reasons) == (decision.action is not Action.APPROVE) for decision in alone)
    assert [service.score(question) for question in PAYMENTS] == [expected_answer(decision) for decision in alone]

    together = service.decide(PAYMENTS)
    assert [decision.sequence for decision in together] != [decision.sequence for decision in alone]
    assert service.score_batch(PAYMENTS) == [expected_answer(decision) for decision in together]


def test_previews_follow_the_rules_and_the_control_share_of_the_policy_as_decisions_do(service: Service) -> None:
    rules = [
        OverlayRule(reason=f"POLICY_{action.name}", action=action, when=(RuleCondition(name="channel", one_of=names),))
        for action, names in ((Action.DECLINE, ("atm",)), (Action.CHALLENGE, ("swipe", "chip")))
    ]
    control = ControlShare(share=0.5, cap_minor=1e9)
    policy = structs.replace(POLICY, decline_cost_minor=50, rules=tuple(rules), control=control)
    service.use_policy(policy, ControlSample(b"a key of at least 16 bytes"))
    alone = [service.decide([asked])[0] for asked in PAYMENTS]
    assert [service.score(asked) for asked in PAYMENTS] == [expected_answer(decision) for decision in alone]
    assert service.score_batch(PAYMENTS) == [expected_answer(decision) for decision in service.decide(PAYMENTS)]
    by_rule = [decision for decision in alone if decision.reasons[:1] == ["POLICY_DECLINE"]]
    assert {decision.action for decision in by_rule} == {Action.DECLINE}
    # Where the model alone would approve, the rule is the only reason; else its reasons follow.
    assert {len(decision.reasons) > 1 for decision in alone if "POLICY_CHALLENGE" in decision.reasons} == {True, False}
    chosen = [decision for decision in alone if decision.control_propensity is not None]
    assert chosen
    assert {(decision.action, decision.control_propensity) for decision in chosen} == {(Action.APPROVE, 0.5)}
    assert {decision.transaction.channel for decision in chosen}.isdisjoint({Channel.ATM, Channel.CHIP, Channel.SWIPE})


def test_a_batch_over_the_day_on_which_the_table_becomes_stale_is_decided_by_both(service: Service) -> None:
    midnight = datetime(2026, 3, 3, tzinfo=UTC)
    service.tables.put(table_of(midnight.date() - timedelta(days=WINDOW_DAYS)))
    asked = payments(20, seed=12, prefix="m", start=midnight - timedelta(minutes=10))
    answers = service.score_batch(asked)
    assert answers == [expected_answer(decision) for decision in service.decide(asked)]
    assert [answer["degraded"] for answer in answers] == [False] * 10 + [True] * 10


def test_in_a_batch_order_is_kept_and_the_second_of_a_card_sees_the_first(service: Service) -> None:
    start = PAYMENTS[0].occurred_at
    one, other = (msgspec.structs.replace(PAYMENTS[0], card_id=f"card-{card}") for card in ("x", "y"))
    asked = [
        msgspec.structs.replace(question, transaction_id=f"b-{place}", occurred_at=start + timedelta(seconds=place))
        for place, question in enumerate([one, other, one, one, other])
    ]
    answers = service.score_batch(asked)
    assert [answer["transaction_id"] for answer in answers] == ["b-0", "b-1", "b-2", "b-3", "b-4"]
    assert [answer["sequence"] for answer in answers] == [0, 0, 1, 2, 1]
    assert [answer["sequence"] for answer in service.score_batch(asked)] == [0, 0, 1, 2, 1]


def test_a_decided_transaction_is_repeated_and_gets_no_second_decision(service: Service) -> None:
    seen = HISTORY[-1]
    fresh = PAYMENTS[0]
    decisions = service.decide([fresh])
    for answer in (service.score(seen), *service.score_batch([fresh, seen, fresh])[1:]):
        assert answer["repeated"]
        assert (answer["margin"], answer["probability"], answer["action"]) == (None, None, None)
        assert (answer["reasons"], answer["degraded"]) == ([], False)
    assert service.score_batch([fresh, seen, fresh])[0] == expected_answer(decisions[0])
    assert service.request("POST", "/v1/explain", encode(seen)).status == 422


def test_the_function_on_aws_says_that_a_transaction_is_repeated_without_querying_the_model(service: Service) -> None:
    class NoModel:
        def score(self, *_: object, **__: object) -> Scores:
            raise AssertionError("the model was queried")

    states = CardStateReader(lambda: service.store, data_file(service.folder / "store"), time.monotonic)
    remote = RemotePreviewScorer(PreviewScorer(states, service.tables, POLICY), NoModel(), POLICY)
    seen = HISTORY[-1]
    answer = remote.preview(seen)
    assert encode(answer) == encode(
        Preview(
            transaction_id=seen.transaction_id,
            sequence=sum(each.card_id == seen.card_id for each in HISTORY),
            table_id=ReferenceTable.empty().table_id,
            model_version=None,
            model_digest=None,
            policy_version=POLICY.version,
            repeated=True,
        )
    )
    assert (answer.action, answer.reasons, answer.degraded, answer.degraded_reason) == (None, [], False, None)


def test_without_a_champion_the_rules_decide_and_the_reason_is_given(service: Service) -> None:
    service.registry.pointers = {}
    service.manager = ModelManager(service.registry, service.folder / "empty")  # type: ignore[arg-type]
    service.manager.refresh()
    service.use_states(CardStateReader(lambda: service.store, data_file(service.folder / "store"), time.monotonic))
    batch = fold_batch(service.store, service.tables, UNCHECKED, 0, 0, [record_of(one) for one in PAYMENTS])
    features = batch.folded.rows.features
    actions, reasons = POLICY.decide_by_rules(features)
    answers = service.score_batch(PAYMENTS)
    assert [answer["action"] for answer in answers] == [action.value for action in actions]
    assert [answer["reasons"] for answer in answers] == reasons
    assert {answer["degraded_reason"] for answer in answers} == {"no champion: there is no champion"}
    assert {(answer["margin"], answer["model_version"]) for answer in answers} == {(None, None)}
    assert service.request("POST", "/invocations", json_rows(), Content_Type=JSON).status == 503
