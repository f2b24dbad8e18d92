"""Faults of the data itself, on a timeline: what a source does wrong, while people and fraudsters behave as before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from cardwatch.events import MAX_AMOUNT_MINOR, Channel
from cardwatch.simulation.categories import CODES
from cardwatch.simulation.timeline_event import WorldChange, require_known
from cardwatch.simulation.tokens import scattered
from cardwatch.simulation.transaction_array import DAY_MS, HOUR_MS, NO_DEVICE, UNKNOWN, TransactionArray, joined

MAX_UNIT_RATIO: Final = 10_000.0
"""The largest ratio of one change of unit, and of several together."""
_REKEYED: Final = 1 << 31
"""Distance of the numbers of a merchant before and after each re-keying. The first ones are smaller."""
_CHANNELS: Final = [channel.value for channel in Channel]


class NullColumn(WorldChange, frozen=True, kw_only=True, tag="null_column"):
    """A field is missing. `place` is latitude and longitude."""

    column: Literal["place", "device_id", "customer_id", "previous_outcome", "card_range"]


class _OfChannel(WorldChange, frozen=True, kw_only=True):
    """A fault of one channel's records; of all if `channel` is None."""

    channel: str | None = None

    def __post_init__(self) -> None:
        """Raise `ValueError` for an unknown channel, or days that contradict each other."""
        super().__post_init__()
        if self.channel is not None:
            require_known("channel", self.channel, _CHANNELS)


class UnitChange(_OfChannel, frozen=True, kw_only=True, tag="unit_change"):
    """Amounts are written in another unit: multiplied by `ratio`, 0.01 for euros in place of cents."""

    ratio: Annotated[float, Meta(gt=0, le=MAX_UNIT_RATIO)]


class ClockShift(_OfChannel, frozen=True, kw_only=True, tag="clock_shift"):
    """A source's clock is wrong by `hours`. The date is right: times move around within the day."""

    hours: Annotated[float, Meta(ge=-23, le=23)]


class NewCodes(WorldChange, frozen=True, kw_only=True, tag="new_codes"):
    """The merchants of a category come with another code, ISO 18245 or not."""

    category: Annotated[str, Meta(pattern="^[0-9]{4}$")]
    code: Annotated[str, Meta(pattern="^[0-9]{4}$")]

    def __post_init__(self) -> None:
        """Raise `ValueError` for a category of no merchant, or days that contradict each other."""
        super().__post_init__()
        require_known("category", self.category, CODES)


class RekeyedMerchants(WorldChange, frozen=True, kw_only=True, tag="rekeyed_merchants"):
    """A share of all merchants get other ids, as after the move to another acquirer.

    Several of them draw their merchants independently, and each gives ids of its own; that of the last one counts.
    """

    share: Annotated[float, Meta(gt=0, le=1)]


class DuplicatedRecords(WorldChange, frozen=True, kw_only=True, tag="duplicated_records"):
    """A share of the records are sent twice, with the same transaction id, some minutes later."""

    share: Annotated[float, Meta(gt=0, le=1)]


class LateSource(_OfChannel, frozen=True, kw_only=True, tag="late_source"):
    """Records arrive up to `hours` after their time, but on the same day: their order in the log is another one."""

    hours: Annotated[float, Meta(gt=0, le=23)]


DataFault = NullColumn | UnitChange | ClockShift | NewCodes | RekeyedMerchants | DuplicatedRecords | LateSource


def apply_faults(
    rng: np.random.Generator, faults: Sequence[DataFault], day: int, transactions: TransactionArray
) -> TransactionArray:
    """Return the records that a source sends of the transactions of day number `day`, in the order of their arrival.

    During the ramp of a fault only a part of the records, or of the merchants, is affected.
    """
    rows = joined([transactions])
    arrival_ms = rows["occurred_at_ms"].copy()
    rekeying = 0
    for fault in faults:
        rekeying += isinstance(fault, RekeyedMerchants)
        strength = fault.strength(day)
        affected = _affected(fault, rng, strength, rows, rekeying) if strength > 0.0 else None
        if affected is None:
            continue
        match fault:
            case NullColumn():
                _remove(fault.column, rows, affected)
            case UnitChange():
                amounts = np.rint(rows["amount_minor"][affected] * fault.ratio).clip(1, MAX_AMOUNT_MINOR)
                rows["amount_minor"][affected] = amounts.astype(np.int64)
            case ClockShift():
                begin = rows["occurred_at_ms"] // DAY_MS * DAY_MS
                shifted = (rows["occurred_at_ms"] - begin + round(fault.hours * HOUR_MS)) % DAY_MS
                rows["occurred_at_ms"][affected] = (begin + shifted)[affected]
            case NewCodes():
                rows["category"][affected & (rows["category"] == int(fault.category))] = int(fault.code)
            case RekeyedMerchants():
                # The id of the newest acquirer, whatever those before it were.
                numbers = rows["merchant_number"][affected] % _REKEYED + rekeying * _REKEYED
                rows["merchant_number"][affected] = numbers
            case DuplicatedRecords():
                repeated = rows[affected]
                minutes_later = arrival_ms[affected] + rng.integers(1, 30, len(repeated)) * 60_000
                rows, arrival_ms = joined([rows, repeated]), np.concatenate([arrival_ms, minutes_later])
            case LateSource():
                delay_ms = np.floor(rng.random(len(rows)) * fault.hours * HOUR_MS).astype(np.int64)
                arrival_ms = np.where(affected, arrival_ms + delay_ms, arrival_ms)
    return rows.take(np.argsort(arrival_ms, kind="stable"))


def _affected(
    fault: DataFault, rng: np.random.Generator, strength: float, rows: TransactionArray, rekeying: int
) -> NDArray[np.bool_]:
    """Return which rows a fault affects: a share of the merchants or of the rows, of the fault's channel.

    `rekeying` counts the `RekeyedMerchants` from 1: each draws merchants of its own.
    """
    if isinstance(fault, RekeyedMerchants):
        # Which merchants they are depends on nothing but merchant and fault: one that is affected stays so.
        drawn = scattered(rows["merchant"] + (rekeying - 1) * _REKEYED) / 2.0**64
        affected: NDArray[np.bool_] = drawn < strength * fault.share
        return affected
    share = strength * (fault.share if isinstance(fault, DuplicatedRecords) else 1.0)
    affected = rng.random(len(rows)) < share
    channel = getattr(fault, "channel", None)
    return affected if channel is None else affected & (rows["channel"] == _CHANNELS.index(channel))


def _remove(column: str, rows: TransactionArray, affected: NDArray[np.bool_]) -> None:
    if column == "device_id":
        rows["device"][affected] = NO_DEVICE
    elif column == "previous_outcome":
        rows["previous_outcome"][affected] = UNKNOWN
    else:
        rows[{"place": "has_place", "customer_id": "has_customer", "card_range": "has_range"}[column]][affected] = False
