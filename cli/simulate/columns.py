"""Simulated days as Arrow tables, without a Python object per transaction."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adapters.archive.layout import SCHEMAS, UTC_MS
from cardwatch.events import Action, AuthorizationOutcome, Channel
from cardwatch.label_states import NO_LABEL, LabelState, label_states
from cardwatch.simulation.cities import COUNTRIES
from cardwatch.simulation.emitter import transaction_id
from cardwatch.simulation.labels import newest_labels
from cardwatch.simulation.population import Population
from cardwatch.simulation.selection import DECLINE
from cardwatch.simulation.simulation import SimulatedDay
from cardwatch.simulation.tokens import opaque
from cardwatch.simulation.transaction_array import NO_DEVICE, Typology
from cardwatch.topics import TRANSACTIONS

Arrow: TypeAlias = Any  # the stubs of pyarrow do not give the types of arrays that compute functions return

_LOG_POSITION: Final = ("partition", "log_offset")
TRANSACTION_COLUMNS: Final = pa.schema(
    [
        *(field for field in SCHEMAS[TRANSACTIONS] if field.name not in _LOG_POSITION),
        pa.field("is_fraud", pa.bool_()),
        pa.field("observed_at", UTC_MS),
    ]
)
"""The fields of a transaction, whether its newest label is fraud, and when that becomes known (null without one)."""

DECIDED_COLUMNS: Final = pa.schema(
    [*TRANSACTION_COLUMNS, pa.field("action", pa.string()), pa.field("label_state", pa.string())]
)
"""The same with the decision, and what is known of the outcome in the end, see `cardwatch.label_states`."""

_TRUTH_TYPES: Final[list[tuple[str, pa.DataType]]] = [
    ("transaction_id", pa.string()),
    ("typology", pa.string()),
    ("campaign", pa.int32()),
    ("campaign_day", pa.int16()),
    ("is_fraud", pa.bool_()),
]
TRUTH_COLUMNS: Final = pa.schema(_TRUTH_TYPES)
"""What a transaction really was. Friendly fraud is no fraud, although it is reported as such. `campaign` is 0 for
genuine transactions."""

_TYPOLOGIES: Final = pa.array([typology.name.lower() for typology in Typology])
_CHANNELS: Final = pa.array([channel.value for channel in Channel])
_OUTCOMES: Final = pa.array([None, AuthorizationOutcome.APPROVED.value, AuthorizationOutcome.DECLINED.value])
_ACTIONS: Final = pa.array([action.value for action in Action])
_STATES: Final = pa.array([state.name.lower() for state in LabelState])
_NO_FRAUD: Final = (Typology.GENUINE, Typology.FRIENDLY_FRAUD)


class DayTables:
    """Converts the days of one simulation. The names that do not change are made once."""

    def __init__(self, population: Population) -> None:
        self._card_ids = pa.array([f"card-{card:06d}" for card in range(population.cards.count)])
        self._customer_ids = pa.array(opaque("u", population.cards.customer))
        self._ranges = pa.array(opaque("r", population.cards.card_range))
        self._countries = pa.array(COUNTRIES).take(population.merchants.city)
        self._latitude, self._longitude = population.merchants.latitude, population.merchants.longitude

    def transactions(self, day: SimulatedDay) -> pa.Table:
        """Return the day's transactions with what is reported about them.

        The schema is `TRANSACTION_COLUMNS`, or `DECIDED_COLUMNS` if the day was decided.
        """
        rows = day.transactions
        cards, merchants = rows["card"], rows["merchant"]
        newest = newest_labels(day.reports)
        reported = newest[newest["is_fraud"]]
        of_numbers = np.zeros(len(rows), np.int64)
        of_numbers[reported["number"]] = reported["observed_at_ms"]
        observed_at = of_numbers[rows["number"]]
        columns: dict[str, Arrow] = {
            "transaction_id": _transaction_ids(day),
            "card_id": self._card_ids.take(cards),
            "merchant_id": _tokens("m", rows["merchant_number"]),
            "occurred_at": _moments(rows["occurred_at_ms"]),
            "amount_minor": pa.array(rows["amount_minor"]),
            "currency": pa.repeat("EUR", len(rows)),
            "merchant_category": _codes(rows["category"]),
            "channel": _CHANNELS.take(pa.array(rows["channel"])),
            "country": self._countries.take(merchants),
            "latitude": pa.array(self._latitude[rows["merchant"]], mask=~rows["has_place"]),
            "longitude": pa.array(self._longitude[rows["merchant"]], mask=~rows["has_place"]),
            "device_id": _masked(_tokens("d", rows["device"]), rows["device"] == NO_DEVICE),
            "customer_id": _masked(self._customer_ids.take(cards), ~rows["has_customer"]),
            "previous_outcome": _OUTCOMES.take(pa.array(rows["previous_outcome"])),
            "card_range": _masked(self._ranges.take(cards), ~rows["has_range"]),
            "is_fraud": pa.array(observed_at > 0),
            "observed_at": _masked(_moments(observed_at), observed_at == 0),
        }
        if day.actions is None:
            return pa.table(columns, schema=TRANSACTION_COLUMNS)
        says = np.full(len(rows), NO_LABEL, np.int8)
        says[newest["number"]] = newest["is_fraud"]
        mature = np.zeros(len(rows), np.int64)
        states = label_states(says[rows["number"]], day.actions == DECLINE, mature, 0)
        columns["action"] = _ACTIONS.take(pa.array(day.actions, pa.int8()))
        columns["label_state"] = _STATES.take(pa.array(states, pa.int8()))
        return pa.table(columns, schema=DECIDED_COLUMNS)

    def truth(self, day: SimulatedDay) -> pa.Table:
        """Return the truth of the day's transactions, schema `TRUTH_COLUMNS`."""
        rows = day.transactions
        return pa.table(
            {
                "transaction_id": _transaction_ids(day),
                "typology": _TYPOLOGIES.take(pa.array(rows["typology"])),
                "campaign": pa.array(rows["campaign"]),
                "campaign_day": pa.array(rows["campaign_day"]),
                "is_fraud": pa.array(~np.isin(rows["typology"], _NO_FRAUD)),
            },
            schema=TRUTH_COLUMNS,
        )


def _transaction_ids(day: SimulatedDay) -> Arrow:
    return pa.array([transaction_id(day.number, number) for number in day.transactions["number"].tolist()])


def _codes(numbers: NDArray[np.int16]) -> Arrow:
    distinct, places = np.unique(numbers, return_inverse=True)
    return pa.array([f"{number:04d}" for number in distinct.tolist()], pa.string()).take(places)


def _tokens(prefix: str, numbers: NDArray[np.int64]) -> Arrow:
    distinct, places = np.unique(numbers, return_inverse=True)
    return pa.array(opaque(prefix, distinct), pa.string()).take(places)


def _moments(epoch_ms: NDArray[np.int64]) -> Arrow:
    return pa.array(epoch_ms).cast(UTC_MS)


def _masked(values: Arrow, is_missing: NDArray[np.bool_]) -> Arrow:
    return pc.if_else(pa.array(is_missing), pa.scalar(None, values.type), values)
