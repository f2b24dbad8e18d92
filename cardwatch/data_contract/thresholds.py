"""The stated thresholds of the checks: by how much a value must leave the range of the reference to be a finding.

`docs/data-contract.md` explains them. They are far above what seasons, prices and new habits do to a day, and far below
what a fault of a source does; `python -m benchmarks.data_contract` measures both.
"""

from __future__ import annotations

import math
from typing import Final

from cardwatch.data_contract.finding import Check

NOISES: Final = 4.0
"""Standard errors of the value of a day that are allowed in addition to a threshold."""

THRESHOLDS: Final[dict[Check, float]] = {
    Check.NULL_SHARE: 0.10,
    Check.UNSEEN_CODES: 0.02,
    Check.VANISHED_CODES: 0.005,
    Check.CODE_MIX: 0.25,
    Check.AMOUNT_SCALE: math.log(2.0),
    Check.AMOUNT_RANGE: 0.05,
    Check.VOLUME: math.log(2.0),
    Check.CLOCK: 2.0,
    Check.SILENT_HOURS: 0.10,
    Check.LOG_ORDER: 0.5,
    Check.UNKNOWN_KEYS: 0.15,
    Check.REPEATED_RECORDS: 0.02,
    Check.COPIED_RECORDS: 0.02,
}
"""Shares are 0..1, scale and volume natural logarithms (ln 2 is a factor of two), clock and log order hours."""
CHANNEL_VOLUME: Final = math.log(5.0)
"""Threshold of the volume of one channel."""
RISES_ONLY: Final = frozenset(
    {
        Check.UNSEEN_CODES,
        Check.VANISHED_CODES,
        Check.CODE_MIX,
        Check.AMOUNT_RANGE,
        Check.SILENT_HOURS,
        Check.LOG_ORDER,
        Check.UNKNOWN_KEYS,
        Check.REPEATED_RECORDS,
        Check.COPIED_RECORDS,
    }
)
"""Checks of what is better the lower it is."""


def threshold_of(check: Check, channel: str | None) -> float:
    """Return the stated threshold of a check."""
    return CHANNEL_VOLUME if check is Check.VOLUME and channel is not None else THRESHOLDS[check]
