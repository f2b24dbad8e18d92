"""The kernel's constant-time updates against the definitions over the whole history.

The features are computed a second time, in plain Python, from the descriptions of the feature table.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardwatch.events import EPOCH, AuthorizationOutcome, Channel, Transaction, to_epoch_ms
from cardwatch.features.columns import encode
from cardwatch.features.definitions import FEATURE_NAMES, column
from cardwatch.features.kernel import fold
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.state import empty_states

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
WINDOWS_MS = {"10m": 10 * MINUTE_MS, "1h": HOUR_MS, "24h": DAY_MS, "7d": 7 * DAY_MS, "30d": 30 * DAY_MS}
REMOTE = {Channel.ECOMMERCE, Channel.RECURRING}
KM_PER_DEGREE = 2 * math.pi * 6371 / 360

gaps_ms = st.one_of(
    st.integers(0, 90_000),
    st.integers(0, 40 * 60_000),
    st.integers(0, 5 * 86_400_000),
    st.integers(-3 * 86_400_000, 0),
    st.sampled_from([60_000, 360_000, 8_640_000, 60_480_000, 259_200_000, 364 * 86_400_000, 366 * 86_400_000]),
)


@st.composite
def cards_logs(draw: st.DrawFn) -> list[Transaction]:
    """A log of one card, with bursts, gaps, late events and duplicates."""
    now_ms = 20_000 * 86_400_000 + draw(st.integers(0, 30 * 86_400_000))
    log: list[Transaction] = []
    for number in range(draw(st.integers(1, 40))):
        if log and draw(st.integers(0, 9)) == 0:
            log.append(draw(st.sampled_from(log)))
            continue
        now_ms += draw(gaps_ms)
        place = draw(st.none() | st.tuples(st.floats(-80, 80), st.floats(-80, 80)))
        log.append(
            Transaction(
                transaction_id=f"t-{number}",
                card_id="card",
                merchant_id=f"m-{draw(st.integers(0, 5))}",
                occurred_at=EPOCH + timedelta(milliseconds=now_ms),
                amount_minor=draw(st.sampled_from([0, 1, 299, 300, 1_000, 123_456])),
                currency="EUR",
                merchant_category=draw(st.sampled_from(["5411", "7995", "0000"])),
                channel=draw(st.sampled_from(Channel)),
                country=draw(st.sampled_from(["DE", "FR", "ZZ"])),
                latitude=place[0] if place else None,
                longitude=place[1] if place else None,
                device_id=draw(st.none() | st.sampled_from(["d-1", "d-2", "d-3"])),
                previous_outcome=draw(st.none() | st.sampled_from(AuthorizationOutcome)),
            )
        )
    return log


@pytest.mark.rubric("data-7")
@given(cards_logs())
@settings(deadline=None, max_examples=200)
def test_every_feature_follows_its_definition(log: list[Transaction]) -> None:
    folded = fold(empty_states(1), np.zeros(len(log), np.int64), encode(log), ReferenceTable.empty())
    for position, expected in enumerate(rows_by_definition(log)):
        assert folded.duplicates[position] == (expected is None)
        for name, found in zip(FEATURE_NAMES, folded.features[position].tolist(), strict=True):
            if expected is None or name not in expected:
                assert np.isnan(found), (position, name)
            else:
                tolerance = 1e-5 * max(abs(expected[name]), 1e-2)
                assert abs(found - expected[name]) <= tolerance, (position, name, found, expected[name])


@given(cards_logs())
@settings(deadline=None)
def test_a_window_covers_nine_tenths_of_its_length_at_least_and_all_of_it_at_most(log: list[Transaction]) -> None:
    folded = fold(empty_states(1), np.zeros(len(log), np.int64), encode(log), ReferenceTable.empty())
    for features, event, history in zip(folded.features, log, histories(log), strict=True):
        if history is None:
            continue
        now_ms = max(map(at, [*history, event]))
        for window, length_ms in WINDOWS_MS.items():
            least = sum(now_ms - at(past) <= 0.9 * length_ms for past in history)
            most = sum(now_ms - at(past) < length_ms for past in history)
            assert least <= features[column(f"count_{window}")] <= most


def rows_by_definition(log: Sequence[Transaction]) -> list[dict[str, float] | None]:
    """Return the features of one card's log without reference tables; None for a duplicate, missing ones omitted."""
    return [
        None if history is None else row(event, history) for event, history in zip(log, histories(log), strict=True)
    ]


def histories(log: Sequence[Transaction]) -> Iterator[list[Transaction] | None]:
    """Return the history of each of a card's transactions; None for a duplicate."""
    history: list[Transaction] = []
    for event in log:
        if history and at(event) - max(map(at, history)) > 365 * DAY_MS:
            history = []
        if event.transaction_id in [past.transaction_id for past in history[-16:]]:
            yield None
            continue
        yield list(history)
        history.append(event)


def row(event: Transaction, history: Sequence[Transaction]) -> dict[str, float]:
    return (
        alone(event)
        | velocity(event, history)
        | (compared(event, history) if history else {})
        | recency(event, history)
        | placed(event, history)
        | new(event, history)
    )


def at(event: Transaction) -> int:
    return to_epoch_ms(event.occurred_at)


def alone(event: Transaction) -> dict[str, float]:
    text = str(event.amount_minor)
    values = {
        "amount": event.amount_minor / 100,
        "amount_is_whole": float(event.amount_minor % 100 == 0),
        "amount_zeros": len(text) - len(text.rstrip("0")) if event.amount_minor else 0,
        "hour_of_day": event.occurred_at.hour,
        "weekday": event.occurred_at.weekday(),
        "merchant_category": int(event.merchant_category),
        **{f"is_{channel.value}": float(event.channel is channel) for channel in Channel},
        **{f"merchant_risk_{window}": 1.0 for window in ("recent", "7d", "30d")},
        **{f"merchant_fraud_{what}": 0.0 for what in ("run", "run_days", "run_local", "cards")},
        "exposure": 1.0,
        "exposed_merchants": 0.0,
        **{f"merchant_count_{window}": 0.0 for window in ("1d", "7d", "30d")},
    }
    if event.device_id is not None:  # the empty table has no device
        values |= dict.fromkeys(
            ("device_cards", "device_frauds", "device_count_1d", "device_cards_1d", "device_age"), 0.0
        )
    if event.previous_outcome is not None:
        values["previous_declined"] = float(event.previous_outcome is AuthorizationOutcome.DECLINED)
    return values


def within(now_ms: int, events: Sequence[Transaction], window: str) -> list[Transaction]:
    """Return the events in the current tile and the nine before it."""
    tile_ms = WINDOWS_MS[window] // 10
    return [past for past in events if at(past) // tile_ms > now_ms // tile_ms - 10]


def velocity(event: Transaction, history: Sequence[Transaction]) -> dict[str, float]:
    now_ms = max(map(at, [*history, event]))
    held = {window: within(now_ms, history, window) for window in WINDOWS_MS}
    values = {f"count_{window}": float(len(past)) for window, past in held.items()}
    values |= {f"amount_{window}": value(past) for window, past in held.items()}
    day = held["24h"]
    remote, cash = [e for e in day if e.channel in REMOTE], [e for e in day if e.channel is Channel.ATM]
    present = [e for e in day if e not in remote and e not in cash]
    for name, kind in (("remote", remote), ("cash", cash), ("present", present)):
        values |= {f"{name}_count_24h": len(kind), f"{name}_amount_24h": value(kind)}
    values["remote_count_1h"] = sum(past.channel in REMOTE for past in held["1h"])
    values["small_count_1h"] = sum(past.amount_minor < 300 for past in held["1h"])
    values["declined_count_24h"] = sum(past.previous_outcome is AuthorizationOutcome.DECLINED for past in day)
    merchants = [past.merchant_id for past in history]
    newcomers = [past for index, past in enumerate(history) if past.merchant_id not in merchants[:index]]
    values["new_merchant_count_24h"] = len(within(now_ms, newcomers, "24h"))
    if held["7d"]:
        values["count_24h_to_7d"] = len(day) / len(held["7d"])
    if value(held["30d"]):
        values["amount_24h_to_30d"] = value(day) / value(held["30d"])
        values["amount_to_mean_30d"] = event.amount_minor / 100 / (value(held["30d"]) / len(held["30d"]))
    return values


def value(events: Sequence[Transaction]) -> float:
    return sum(event.amount_minor for event in events) / 100


def compared(event: Transaction, history: Sequence[Transaction]) -> dict[str, float]:
    amounts = [past.amount_minor for past in history]
    gap_ms = max(at(event) - max(map(at, history)), 0)
    hours = [past.occurred_at.hour for past in history]
    near = {(event.occurred_at.hour + step) % 24 for step in (-1, 0, 1)}
    values = {
        "seconds_since_last": gap_ms / 1000,
        "hour_habit": sum(hour in near for hour in hours) / len(history),
        "weekday_habit": share(event.occurred_at.weekday(), [past.occurred_at.weekday() for past in history]),
        "channel_habit": share(event.channel, [past.channel for past in history]),
    }
    if any(amounts):
        values["amount_to_mean"] = event.amount_minor / statistics.mean(amounts)
        values["amount_to_max"] = event.amount_minor / max(amounts)
    if amounts[-1]:
        values["amount_to_previous"] = event.amount_minor / amounts[-1]
    if len(set(amounts)) > 1:
        values["amount_zscore"] = (event.amount_minor - statistics.mean(amounts)) / statistics.stdev(amounts)
    span_ms = max(map(at, history)) - min(map(at, history))
    if span_ms:
        values["gap_to_mean"] = gap_ms / (span_ms / (len(history) - 1))
    return values


def share(value: object, values: Sequence[object]) -> float:
    return sum(other == value for other in values) / len(values)


def recency(event: Transaction, history: Sequence[Transaction]) -> dict[str, float]:
    values: dict[str, float] = {"history_length": min(len(history), 50)}
    small = [at(past) for past in history if past.amount_minor < 300]
    declined = [at(past) for past in history if past.previous_outcome is AuthorizationOutcome.DECLINED]
    for name, times in (("small", small), ("declined", declined)):
        if times:
            values[f"seconds_since_{name}"] = max(at(event) - max(times), 0) / 1000
    if history:
        now_ms = max(map(at, [*history, event]))
        values["history_days"] = min((now_ms - min(map(at, history))) / DAY_MS, 30)
    return values


def placed(event: Transaction, history: Sequence[Transaction]) -> dict[str, float]:
    places = [past for past in history if past.latitude is not None]
    if event.latitude is None or not places:
        return {}
    last = places[0]
    for past in places:
        last = past if past.occurred_at >= last.occurred_at else last
    usual = (statistics.mean(p.latitude for p in places), statistics.mean(p.longitude for p in places))
    away = distance_km((event.latitude, event.longitude), (last.latitude, last.longitude))
    return {
        "distance_from_last_km": away,
        "speed_from_last_kmh": away / max(abs(at(event) - at(last)) / HOUR_MS, 1 / 60),
        "distance_from_usual_km": distance_km((event.latitude, event.longitude), usual),
    }


def distance_km(here: tuple[float, float], there: tuple[float, float]) -> float:
    squared = ((here[0] + there[0]) / 2) ** 2
    cosine = (32_400 - 4 * squared) / (32_400 + squared)  # Bhaskara I, in degrees
    return KM_PER_DEGREE * math.hypot(here[0] - there[0], (here[1] - there[1]) * cosine)


def new(event: Transaction, history: Sequence[Transaction]) -> dict[str, float]:
    values: dict[str, float] = {}
    fields = {"merchant": "merchant_id", "category": "merchant_category", "country": "country", "device": "device_id"}
    for name, field in fields.items():
        mine = getattr(event, field)
        known = [past for past in history if getattr(past, field) is not None]
        if mine is None or not known:
            continue
        days = [at(past) // DAY_MS for past in known if getattr(past, field) == mine]
        values[f"{name}_is_new"] = float(not days)
        if days:
            values[f"days_since_{name}"] = max(at(event) // DAY_MS - max(days), 0)
    return values
