"""Reference tables: sections, lookups, ids that are hashes of the content, and storage."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest

from cardwatch.features.reference_table import (
    COMPROMISED_SECTION,
    DEVICE_SECTION,
    DEVICE_VALUES,
    MERCHANT_SECTION,
    MERCHANT_VALUES,
    SECTION_VALUES,
    ReferenceTable,
    TableSection,
)

DEVICES = TableSection(np.array([3, 8], np.uint64), np.arange(10, dtype=np.float32).reshape(2, 5))
COMPROMISED = TableSection(np.array([2**32 - 1], np.uint64), np.array([[4.0]], np.float32))


def table(**changes: object) -> ReferenceTable:
    sections = {DEVICE_SECTION: DEVICES, COMPROMISED_SECTION: COMPROMISED}
    return ReferenceTable(20_129, sections, {"0": 5}) if not changes else ReferenceTable(20_129, sections, changes)


def test_a_value_is_found_by_section_hash_and_name() -> None:
    assert table().value(DEVICE_SECTION, 8, "cards") == 5.0
    assert table().value(DEVICE_SECTION, 3, DEVICE_VALUES[-1]) == 4.0
    assert table().value(COMPROMISED_SECTION, 2**32 - 1, "compromise") == 4.0
    assert table().value(DEVICE_SECTION, 4, "cards") is None
    assert table().value(MERCHANT_SECTION, 3, "risk_7d") is None  # the section is empty


def test_the_arrays_hold_the_sections_one_after_the_other() -> None:
    hashes, values, starts, _ = table().arrays
    assert hashes.tolist() == [3, 8, 2**32 - 1]
    assert values.tolist() == [*range(10), 4.0]
    assert starts.tolist() == [[0, 0], [0, 0], [2, 10], [3, 11]]


def test_the_filter_has_the_bits_of_the_compromised_merchants() -> None:
    low_bits = np.array([5, 64 * 256 + 70, 2**32 - 1], np.uint64)  # 16,454 is 70 in the filter: word 1, bit 6
    compromised = TableSection(low_bits, np.ones((3, 1), np.float32))
    filter_words = ReferenceTable(0, {COMPROMISED_SECTION: compromised}).arrays[3].tolist()
    assert {at: word for at, word in enumerate(filter_words) if word} == {0: 1 << 5, 1: 1 << 6, 255: 1 << 63}


def test_the_id_is_the_content_and_survives_storage() -> None:
    restored = ReferenceTable.from_bytes(table().to_bytes())
    assert restored.table_id == table().table_id
    assert restored.valid_from == datetime(2025, 2, 10, tzinfo=UTC)
    assert [section.hashes.tolist() for section in restored.sections] == [[], [3, 8], [2**32 - 1]]
    assert restored.label_positions == {"0": 5}
    assert table(**{"0": 6}).table_id != table().table_id


def test_a_table_of_other_values_is_refused() -> None:
    other_values = ReferenceTable.empty().to_bytes().replace(b"risk_7d", b"risk_8d")
    with pytest.raises(msgspec.DecodeError, match=r"it holds .*risk_8d"):
        ReferenceTable.from_bytes(other_values)


def test_a_section_whose_values_do_not_fit_its_hashes_is_refused() -> None:
    one_row = np.zeros((1, len(MERCHANT_VALUES)), np.float32)
    with pytest.raises(msgspec.ValidationError, match="2 entities and 1 rows"):
        ReferenceTable.of_merchants(0, np.array([1, 2], np.uint64), one_row)


def test_an_empty_table_has_every_section() -> None:
    shapes = [section.values.shape for section in ReferenceTable.empty().sections]
    assert shapes == [(0, len(columns)) for columns in SECTION_VALUES]
