"""One transaction alone gets the answer that it gets in a batch, whatever the contract admits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from cardwatch.events import EPOCH, AuthorizationOutcome, Channel, Transaction, utc_day
from tests.unit.services.scoring.test_previews import table_of
from tests.unit.services.scoring.worker import HISTORY, PAYMENTS, Service

NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Nd"]), min_size=1, max_size=64)
LAST = HISTORY[-1].occurred_at
MOMENTS = st.one_of(
    st.datetimes(datetime(1970, 1, 1), datetime(9998, 12, 31, 23, 59, 59, 999_999), timezones=st.just(UTC)),  # noqa: DTZ001
    st.timedeltas(timedelta(days=-40), timedelta(days=40)).map(LAST.__add__),
)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
TRANSACTIONS = st.builds(
    Transaction,
    transaction_id=NAMES | st.sampled_from([each.transaction_id for each in HISTORY[-20:]]),
    card_id=NAMES | st.sampled_from([each.card_id for each in HISTORY]),
    merchant_id=NAMES | st.sampled_from([each.merchant_id for each in HISTORY]),
    occurred_at=MOMENTS,
    amount_minor=st.integers(0, 10**12) | st.integers(0, 10**6),
    currency=st.text(LETTERS, min_size=3, max_size=3),
    merchant_category=st.text("0123456789", min_size=4, max_size=4),
    channel=st.sampled_from(Channel),
    country=st.text(LETTERS, min_size=2, max_size=2),
    latitude=st.none() | st.floats(-90, 90),
    longitude=st.none() | st.floats(-180, 180),
    device_id=st.none() | NAMES,
    customer_id=st.none() | NAMES,
    previous_outcome=st.none() | st.sampled_from(AuthorizationOutcome),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(HISTORY[-1])  # it was decided already
@example(structs.replace(PAYMENTS[0], occurred_at=EPOCH))
@example(structs.replace(PAYMENTS[0], occurred_at=LAST + timedelta(days=400)))  # the table is stale: the rules decide
@example(structs.replace(PAYMENTS[0], amount_minor=10**12, latitude=-0.0, longitude=5e-324))
@given(transaction=TRANSACTIONS)
def test_an_odd_transaction_gets_the_same_answer_alone_and_in_a_batch(
    service: Service, transaction: Transaction
) -> None:
    service.tables.put(table_of(utc_day(LAST)))
    assert [service.score(transaction)] == service.score_batch([transaction])
