"""One transaction in one compiled call: the bits of the path that batches take."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from cardwatch.decision.cost_policy import ChannelShares, DecisionPolicy
from cardwatch.decision.decide import decide
from cardwatch.decision.folding import fold_transactions
from cardwatch.decision.one_transaction import OneTransaction
from cardwatch.detector.calibration import Calibration
from cardwatch.detector.detector import Detector
from cardwatch.events import Channel, Transaction
from cardwatch.features.columns import encode
from cardwatch.features.definitions import FEATURES
from cardwatch.features.hashing import identity_hashes
from cardwatch.features.kernel import fold
from cardwatch.features.reference_table import SECTION_VALUES, ReferenceTable, TableSection
from cardwatch.features.state import empty_states
from cardwatch.ports import Scores
from cardwatch.warm_up import EXAMPLE, one_split_detector
from models.tree_export import flatten
from tests.properties.test_kernel_properties import transactions

ONE_CARD = np.zeros(1, np.int64)


@cache
def detector(trees: int) -> Detector:
    """A detector with this number of trees over all features, whose probabilities are spread between 0 and 1."""
    random = np.random.default_rng(trees)
    rows = random.normal(scale=40.0, size=(600, len(FEATURES))).astype(np.float32)
    rows[random.random(rows.shape) < 0.3] = np.nan
    is_fraud = np.nan_to_num(rows).sum(axis=1) > 0
    parameters = {"objective": "binary:logistic", "nthread": 1, "max_depth": 5, "learning_rate": 1.0, "seed": trees}
    flat = flatten(xgboost.train(parameters, xgboost.DMatrix(rows, is_fraud), trees))
    spread = Calibration(margins=[-2.0, -0.5, 0.1, 0.2, 3.0], probabilities=[0.0, 0.001, 0.004, 0.2, 0.97])
    return Detector(flat, structs.replace(one_split_detector().facts, calibration=spread))


@cache
def table(merchants: int) -> ReferenceTable:
    random = np.random.default_rng(merchants)
    hashes = np.sort(identity_hashes([f"id-{i}" for i in range(merchants)]))
    low_bits = np.unique(hashes & np.uint64(0xFFFFFFFF))
    of_section = [hashes, hashes, hashes, low_bits]  # compromised merchants are found by the low bits
    sections = {
        number: TableSection(of_section[number], random.uniform(0.0, 30.0, (len(of_section[number]), len(columns))))
        for number, columns in enumerate(SECTION_VALUES)
    }
    return ReferenceTable(20_039, sections)  # the last day of the transactions, so that it is never stale


POLICIES = st.builds(
    DecisionPolicy,
    challenge_cost_minor=st.sampled_from([0, 100, 2_500.0]),  # a policy file may hold integers
    challenge_stops_fraud=st.sampled_from([0, 0.9, 1]),
    decline_cost_minor=st.sampled_from([0, 500.0]),
    lost_margin=st.sampled_from([0.0, 0.05, 1]),
    challenge_channels=st.sets(st.sampled_from(Channel)).map(tuple),
    liability=st.builds(ChannelShares, **dict.fromkeys(ChannelShares.__struct_fields__, st.sampled_from([0, 0.3, 1]))),
    chargeback_fee_minor=st.sampled_from([0, 1_500]),
    alert_price_minor=st.sampled_from([0, 7.5]),
    currency=st.sampled_from([None, EXAMPLE.currency, "XTS"]),
    rates=st.sampled_from([{}, {EXAMPLE.currency: 1.1}]),
)


class Tables:
    """The same table for every day."""

    def __init__(self, table: ReferenceTable) -> None:
        self._table = table

    def newest(self, _: object) -> ReferenceTable:
        return self._table


@given(
    log=st.lists(transactions(), max_size=30),
    asked=st.lists(transactions(), min_size=1, max_size=4),
    trees=st.sampled_from([1, 8, 21]),
    merchants=st.sampled_from([0, 3, 6]),
    policy=POLICIES,
)
@settings(deadline=None, max_examples=60)
def test_one_compiled_call_gives_the_bits_of_the_batch_path(
    log: list[Transaction], asked: list[Transaction], trees: int, merchants: int, policy: DecisionPolicy
) -> None:
    model, used, one = detector(trees), table(merchants), OneTransaction(policy)
    states = empty_states(1)
    fold(states, np.zeros(len(log), np.int64), encode(log), used)
    for transaction in asked:
        by_batch, by_one = states.copy(), states.copy()
        decided = one.decide(model, used, by_one, transaction)
        folded = fold_transactions(Tables(used), by_batch, ONE_CARD, [transaction])
        margins = model.margins(folded.rows.features)
        probabilities = model.probabilities(margins)
        scores = Scores(model_version="1", model_digest="", margins=margins, probabilities=probabilities, reasons=[[]])
        [outcome] = decide(policy, folded, lambda *_, scores=scores: scores)
        if policy.rate_of(transaction.currency) is not None:
            assert by_one.tobytes() == by_batch.tobytes()
            assert one.features.tobytes() == folded.rows.features.tobytes()
        if folded.rows.duplicates[0] or outcome.degraded_reason is not None:
            assert decided is None
        else:
            assert decided == (folded.rows.sequences[0], outcome.margin, outcome.probability, outcome.action)


def test_trees_for_another_number_of_features_are_refused() -> None:
    """Compiled code does not check bounds."""
    narrow = flatten(xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(np.eye(3), [0, 1, 1]), 1))
    model = Detector(narrow, detector(1).facts)
    with pytest.raises(ValueError, match="3 features"):
        OneTransaction(DecisionPolicy()).decide(model, table(0), empty_states(1), EXAMPLE)
