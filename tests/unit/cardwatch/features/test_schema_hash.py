"""A change in what the kernel computes fails a test until the schema hash changes as well."""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np
import pytest
from msgspec import structs

from cardwatch.features.columns import COLUMNS
from cardwatch.features.definitions import FEATURES, KERNEL_VERSION, SCHEMA_HASH
from cardwatch.features.kernel import fold
from cardwatch.features.reference_table import SECTION_VALUES, ReferenceTable, TableSection
from cardwatch.features.state import empty_states

KNOWN = {
    # KERNEL_VERSION: the digest of features and states of the log below
    3: "5c6bebb0e23c736b7df5d596952ae01538cf24b30bd109e2b7d982ad27186bf8",
}


def arbitrary(count: int, multiplier: int, modulus: int) -> np.ndarray:
    """Return pseudo-random numbers that are the same on every machine."""
    return np.arange(1, count + 1, dtype=np.int64) * multiplier % 1_000_003 % modulus


def arbitrary_table() -> ReferenceTable:
    """Return a table in whose sections some entities of the log are, and some are not."""
    sections = {}
    for number, columns in enumerate(SECTION_VALUES):
        hashes = np.arange(2, 42, 1 + number % 2, dtype=np.uint64)
        values = arbitrary(len(hashes) * len(columns), 2_741 + number, 1_000).astype(np.float32)
        sections[number] = TableSection(hashes, values.reshape(len(hashes), len(columns)))
    return ReferenceTable(0, sections)


def test_features_and_states_of_a_fixed_log_belong_to_this_kernel_version() -> None:
    count, cards = 5_000, 20
    rows = np.zeros(count, COLUMNS)
    rows["transaction_hash"] = arbitrary(count, 7_919, 4_000)
    rows["merchant_hash"] = arbitrary(count, 104_729, 60)
    rows["device_hash"] = arbitrary(count, 15_485, 12)
    rows["occurred_at_ms"] = 1_700_000_000_000 + np.cumsum(arbitrary(count, 32_452, 3_000_000) - 200_000)
    rows["occurred_at_ms"][count // 2 :] += 400 * 86_400_000
    rows["amount_minor"] = arbitrary(count, 49_979, 90_000)
    rows["latitude"] = arbitrary(count, 67_867, 180) - 90.0
    rows["longitude"] = np.where(rows["device_hash"] == 3, np.nan, arbitrary(count, 86_028, 360) - 180.0)
    rows["category"], rows["country"] = arbitrary(count, 12_289, 25), arbitrary(count, 3_571, 25)
    rows["channel"], rows["previous_outcome"] = arbitrary(count, 27_644, 6), arbitrary(count, 40_961, 3)
    owners = arbitrary(count, 1_299, cards)
    rows[50::50], owners[50::50] = rows[49:-1:50], owners[49:-1:50]  # duplicates
    states = empty_states(cards)
    folded = fold(states, owners, rows, arbitrary_table())
    assert folded.duplicates.sum() == 99
    found = hashlib.sha256(folded.features.tobytes() + states.tobytes()).hexdigest()
    assert found == KNOWN[KERNEL_VERSION], "the kernel computes something else: raise KERNEL_VERSION, and note it here"


@pytest.mark.parametrize("field", ["name", "entity", "window", "unit", "meaning", "reason"])
def test_the_hash_changes_with_every_word_of_the_table(field: str) -> None:
    changed = [structs.replace(FEATURES[0], **{field: "something else"}), *FEATURES[1:]]
    for features in (changed, FEATURES[1:], FEATURES[::-1]):
        assert hashlib.sha256(msgspec.json.encode((KERNEL_VERSION, features))).hexdigest()[:32] != SCHEMA_HASH
