"""Training sets as files between the jobs of a retraining on AWS."""

from __future__ import annotations

import numpy as np
from msgspec import structs

from cardwatch.features.definitions import FEATURES
from cardwatch.label_states import LabelCoverage
from pipelines.sagemaker.training_files import rows_from_parquet, rows_to_parquet
from pipelines.steps.training_set import TrainingSet


def test_a_training_set_is_read_as_it_was_written_to_the_bit() -> None:
    random = np.random.default_rng(5)
    features = random.normal(size=(3, len(FEATURES))).astype(np.float32)
    features[0, 0] = np.nan
    written = TrainingSet(
        features=features,
        is_fraud=np.array([True, False, True]),
        weight=np.array([1.0, 4.0, 1.0], np.float32),
        declined_by_rules=np.array([False, False, True]),
        amount_minor=np.array([5, 6, 7]),
        policy_amount_minor=np.array([5.0, 3.6, np.nan]),
        overlay=np.array([0, 1, 2], np.int8),
        occurred_at_ms=np.array([1, 2, 3]),
        card_ids=np.array(["c-1", "c-2", "c-1"], np.object_),
        transaction_ids=np.array(["t-1", "t-2", "t-3"], np.object_),
        fingerprint="f",
        label_coverage=LabelCoverage(known_fraud=2, presumed_genuine=1),
    )
    read = rows_from_parquet(rows_to_parquet(written), "f", written.label_coverage)

    for name, expected in structs.asdict(written).items():
        found = getattr(read, name)
        if isinstance(expected, np.ndarray):
            assert found.dtype == expected.dtype, name
            np.testing.assert_array_equal(found, expected, err_msg=name)
        else:
            assert found == expected, name
