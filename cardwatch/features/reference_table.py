"""Reference tables: what features need to know beyond the card's own history. One immutable table per event day.

A table has a section per kind of entity: merchants, devices, compromised merchants. An entity is found by the identity
hash of its identifier. The table for day D is built from transactions that occurred before D and labels
observed before D (`reference_builder.py`), and records the label-log positions that it covers. Its id is a hash of its
content, so the id in a decision identifies the exact table. A late label changes the next table, never an existing one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Final, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Values = NDArray[np.float32]

DAY_MS: Final = 86_400_000
WINDOW_DAYS: Final = 30
"""Length of the longest window in days."""

MERCHANT_SECTION, DEVICE_SECTION, COMPROMISED_SECTION = range(3)
"""Numbers of the sections. The last one finds merchants by the 32 bits of their hash that card states keep."""

MERCHANT_VALUES: Final = (
    "risk_recent",
    "risk_7d",
    "risk_30d",
    "days_since_fraud",
    "fraud_run",
    "fraud_run_days",
    "fraud_run_local",
    "fraud_cards",
    "count_1d",
    "count_7d",
    "count_30d",
    "mean_amount_30d",
)
"""Columns of the merchants. Risks are ratios to the base rate, higher is riskier. `risk_recent`: of the days whose
labels are not complete yet; the others: of the last 7 and 30 days before these. `days_since_fraud`: from the newest
known fraud to the table, NaN without one. `fraud_run`, `fraud_run_days`: the known frauds of the newest unbroken run
of days with fraud, and the days since it began, 0 without one. `fraud_run_local`: those frauds of the run whose cards
have no known fraud at another merchant, because a stolen card brings its fraud to every merchant. `fraud_cards`: cards
with a known fraud. Counts are transactions a day; the mean amount is in minor units."""
DEVICE_VALUES: Final = ("cards", "frauds", "count_1d", "cards_1d", "age")
"""Columns of the devices: cards that used it, known frauds, transactions and cards of the last day, days since its
first use, at least 1."""
COMPROMISE_VALUES: Final = ("compromise",)
"""How many times more of a merchant's cards later saw fraud elsewhere than expected, see `compromise.py`."""

FILTER_WORDS: Final = 256
"""Length of the filter of compromised merchants in words of 64 bits: 2 KB, which stay in the fastest cache."""

SECTION_VALUES: Final = (MERCHANT_VALUES, DEVICE_VALUES, COMPROMISE_VALUES)


class TableSection(NamedTuple):
    """Entities of one kind. `hashes`: uint64 [n], sorted. `values`: float32 [n, columns], as in `SECTION_VALUES`."""

    hashes: Hashes
    values: Values

    @classmethod
    def empty(cls, number: int) -> TableSection:
        """Return section `number` without entities."""
        return cls(np.zeros(0, np.uint64), np.zeros((0, len(SECTION_VALUES[number])), np.float32))


class _StoredSection(Struct, frozen=True, kw_only=True):
    values_of: tuple[str, ...]
    hashes: bytes
    values: bytes


class _Content(Struct, frozen=True, kw_only=True):
    valid_from_day: int
    label_positions: dict[str, int]
    sections: tuple[_StoredSection, ...]


class ReferenceTable:
    """Knowledge at the start of one UTC day about merchants and devices.

    `sections` has the sections in the order of their numbers; an omitted one is empty. `arrays` is the same for
    compiled code: the hashes of all sections, uint64 [n]; their values, float32 [m]; int64 [4, 2]: where each section
    begins in the two, with the ends of both as the last row; and uint64 [`FILTER_WORDS`]: a bit per possible hash of a
    compromised merchant, because most lookups find nothing.
    """

    def __init__(
        self,
        valid_from_day: int,
        sections: Mapping[int, TableSection] | None = None,
        label_positions: Mapping[str, int] | None = None,
    ) -> None:
        given = sections or {}
        self.valid_from_day = valid_from_day
        self.sections: Final = tuple(
            _typed(given.get(number) or TableSection.empty(number), len(columns))
            for number, columns in enumerate(SECTION_VALUES)
        )
        self.label_positions = dict(sorted((label_positions or {}).items()))
        self.arrays: Final = _arrays(self.sections)
        self.table_id = hashlib.sha256(self.to_bytes()).hexdigest()[:32]

    @property
    def valid_from(self) -> datetime:
        """The start of the first day whose transactions use this table."""
        return datetime.fromtimestamp(self.valid_from_day * 86_400, UTC)

    def value(self, section: int, entity: int, name: str) -> float | None:
        """Return a value of the entity with this hash, None if it is not in the section."""
        hashes, values = self.sections[section]
        at = int(np.searchsorted(hashes, np.uint64(entity)))
        if at == len(hashes) or int(hashes[at]) != entity:
            return None
        return float(values[at, SECTION_VALUES[section].index(name)])

    def to_bytes(self) -> bytes:
        """Return the stored form; equal tables give equal bytes."""
        sections = (
            _StoredSection(values_of=columns, hashes=section.hashes.tobytes(), values=section.values.tobytes())
            for columns, section in zip(SECTION_VALUES, self.sections, strict=True)
        )
        return msgspec.msgpack.encode(
            _Content(valid_from_day=self.valid_from_day, label_positions=self.label_positions, sections=tuple(sections))
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> ReferenceTable:
        """Read what `to_bytes` wrote; raises `msgspec.DecodeError` for anything else."""
        content = msgspec.msgpack.decode(data, type=_Content)
        if (found := tuple(stored.values_of for stored in content.sections)) != SECTION_VALUES:
            raise msgspec.ValidationError(f"it holds {found}, this version reads {SECTION_VALUES}")
        sections = {
            number: TableSection(
                np.frombuffer(stored.hashes, np.uint64),
                np.frombuffer(stored.values, np.float32).reshape(-1, len(stored.values_of)),
            )
            for number, stored in enumerate(content.sections)
        }
        return cls(content.valid_from_day, sections, content.label_positions)

    @classmethod
    def of_merchants(cls, valid_from_day: int, hashes: Hashes, values: Values) -> ReferenceTable:
        """Return a table of merchants only: sorted hashes, uint64 [n], and float32 [n, `MERCHANT_VALUES`]."""
        return cls(valid_from_day, {MERCHANT_SECTION: TableSection(hashes, values)})

    @classmethod
    def empty(cls, valid_from_day: int = 0) -> ReferenceTable:
        """Return the table without entities; it is made once per day number, because the scoring path asks for it."""
        return _empty(valid_from_day)


@cache
def _empty(valid_from_day: int) -> ReferenceTable:
    return ReferenceTable(valid_from_day)


def _typed(section: TableSection, columns: int) -> TableSection:
    hashes = np.array(section.hashes, np.uint64)
    values = np.array(section.values, np.float32).reshape(-1, columns)
    if len(hashes) != len(values):
        raise msgspec.ValidationError(f"a section has {len(hashes)} entities and {len(values)} rows of values")
    return TableSection(hashes, values)


def _arrays(sections: tuple[TableSection, ...]) -> tuple[Hashes, Values, NDArray[np.int64], Hashes]:
    sizes = np.array([(len(section.hashes), section.values.size) for section in sections], np.int64)
    starts = np.concatenate([np.zeros((1, 2), np.int64), np.cumsum(sizes, axis=0)])
    hashes = np.concatenate([section.hashes for section in sections])
    values = np.concatenate([section.values.ravel() for section in sections])
    return hashes, values, starts, _filter_of(sections[COMPROMISED_SECTION].hashes)


def _filter_of(low_bits: Hashes) -> Hashes:
    """Return the filter of `arrays`: bit h % 16,384 is set for each hash h. Most merchants are not compromised."""
    places = np.unique(low_bits.astype(np.int64) % (64 * FILTER_WORDS))
    words = np.zeros(FILTER_WORDS, np.uint64)
    np.bitwise_or.at(words, places // 64, np.left_shift(np.uint64(1), (places % 64).astype(np.uint64)))
    return words
