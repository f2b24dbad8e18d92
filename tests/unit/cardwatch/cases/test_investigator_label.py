"""Labels of an investigator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cardwatch.cases.labels import investigator_label
from cardwatch.events import Channel, Label, LabelSource, Transaction, decode, encode
from cardwatch.live.event_time import event_time

PAID_AT = datetime(2025, 3, 8, 12, tzinfo=UTC)
PAYMENT = Transaction(
    transaction_id="t-1", card_id="card-1", merchant_id="m-1", occurred_at=PAID_AT, amount_minor=100, currency="EUR",
    merchant_category="5732", channel=Channel.CHIP, country="DE",
)  # fmt: skip


def test_a_label_names_card_and_merchant_and_is_observed_at_the_event_time() -> None:
    now = PAID_AT + timedelta(hours=3)
    label = investigator_label(PAYMENT, is_fraud=True, now=now)
    assert decode(encode(label), Label) == Label(
        transaction_id="t-1", card_id="card-1", merchant_id="m-1", is_fraud=True, effective_at=PAID_AT,
        observed_at=now, source=LabelSource.INVESTIGATOR,
    )  # fmt: skip


def test_a_label_is_not_observed_before_its_transaction() -> None:
    label = investigator_label(PAYMENT, is_fraud=False, now=PAID_AT - timedelta(days=1))
    assert label.observed_at == PAID_AT


def test_wrong_clocks_do_not_move_the_event_time() -> None:
    right = [PAID_AT + timedelta(seconds=each) for each in range(16)]
    wrong = [datetime(2125, 1, 1, tzinfo=UTC)] * 15
    assert event_time([*right, *wrong]) == right[-1]
    assert event_time([]) is None
