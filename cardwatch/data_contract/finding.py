"""A finding of the data contract: what is wrong with the data of a day, in which column, since when."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Final

from msgspec import Struct


class Check(StrEnum):
    """The checks of the contract. `docs/data-contract.md` states what each compares, and its threshold."""

    NULL_SHARE = "null_share"
    UNSEEN_CODES = "unseen_codes"
    VANISHED_CODES = "vanished_codes"
    CODE_MIX = "code_mix"
    AMOUNT_SCALE = "amount_scale"
    AMOUNT_RANGE = "amount_range"
    VOLUME = "volume"
    CLOCK = "clock"
    SILENT_HOURS = "silent_hours"
    LOG_ORDER = "log_order"
    UNKNOWN_KEYS = "unknown_keys"
    REPEATED_RECORDS = "repeated_records"
    COPIED_RECORDS = "copied_records"
    LABELS = "labels"
    NO_CONTRACT = "no_contract"


ALL_RECORDS: Final = "records"
"""Column of a finding that concerns the records as a whole, not one field."""


class DataFinding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A value of one day that the contract does not allow.

    `column` is a field of transactions, `ALL_RECORDS` or `labels`; `channel` is None for all channels. `seen` is the
    measured value; values from `low` to `high` would have been right. Their unit is that of the check, see `Check`.
    `codes` are the codes that appeared or vanished. `day` is the day on which it was found, `since` the first of the
    consecutive monitored days with this finding, and `affects_from` the first event day whose data it concerns: with
    missing labels that lies before `day`. A finding with `blocks` false is reported and changes nothing.
    """

    check: str
    column: str
    channel: str | None = None
    low: float = 0.0
    high: float = 0.0
    seen: float = 0.0
    codes: list[str] = []
    day: date
    since: date
    affects_from: date
    sentence: str
    blocks: bool = True

    @property
    def subject(self) -> tuple[str, str, str | None]:
        """Check, column and channel of the finding."""
        return self.check, self.column, self.channel
