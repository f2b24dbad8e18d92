"""Properties of the kernel for every log: chunks, restarts and both encodings give the same bits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cardwatch.events import EPOCH, AuthorizationOutcome, Channel, Transaction, decode, encode
from cardwatch.features.columns import card_index
from cardwatch.features.columns import encode as encode_rows
from cardwatch.features.definitions import column
from cardwatch.features.kernel import fold
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.state import empty_states

identifiers = st.sampled_from([f"id-{i}" for i in range(6)])
moments = st.integers(0, 40 * 86_400_000).map(lambda ms: EPOCH + timedelta(days=20_000, milliseconds=ms))
places = st.none() | st.tuples(st.floats(-90, 90), st.floats(-180, 180))


@st.composite
def transactions(draw: st.DrawFn) -> Transaction:
    place = draw(places)
    return Transaction(
        transaction_id=draw(st.sampled_from([f"t-{i}" for i in range(40)])),
        card_id=draw(identifiers),
        merchant_id=draw(identifiers),
        occurred_at=draw(moments),
        amount_minor=draw(st.integers(0, 10**7)),
        currency="EUR",
        merchant_category=draw(st.sampled_from(["5411", "7995", "0000"])),
        channel=draw(st.sampled_from(Channel)),
        country=draw(st.sampled_from(["DE", "FR", "ZZ"])),
        latitude=place[0] if place else None,
        longitude=place[1] if place else None,
        device_id=draw(st.none() | identifiers),
        previous_outcome=draw(st.none() | st.sampled_from(AuthorizationOutcome)),
    )


logs = st.lists(transactions(), min_size=1, max_size=60)


def replayed(log: Sequence[Transaction], cuts: Sequence[int]) -> tuple[bytes, bytes]:
    """Fold the log in chunks, each from the stored bytes of the previous one; return features and states as bytes."""
    cards, index = card_index([transaction.card_id for transaction in log])
    states = empty_states(len(cards))
    features = []
    bounds = sorted({0, len(log), *(cut % len(log) for cut in cuts)})
    for start, stop in pairwise(bounds):
        states = np.frombuffer(states.tobytes(), states.dtype).copy()
        folded = fold(states, index[start:stop], encode_rows(log[start:stop]), ReferenceTable.empty())
        features.append(folded.features.tobytes())
    return b"".join(features), states.tobytes()


@given(logs, st.lists(st.integers(0, 100), max_size=5))
@settings(deadline=None)
def test_the_chunks_of_a_log_do_not_change_features_and_states(log: list[Transaction], cuts: list[int]) -> None:
    assert replayed(log, cuts) == replayed(log, [])


@given(transactions())
def test_a_transaction_survives_its_json_form(transaction: Transaction) -> None:
    assert decode(encode(transaction), Transaction) == transaction


@given(logs)
@settings(deadline=None)
def test_counts_never_exceed_longer_windows(log: list[Transaction]) -> None:
    cards, index = card_index([transaction.card_id for transaction in log])
    folded = fold(empty_states(len(cards)), index, encode_rows(log), ReferenceTable.empty())
    rows = folded.features[~folded.duplicates]
    assert (rows[:, column("count_1h")] <= rows[:, column("count_24h")]).all()
    assert (rows[:, column("count_24h")] <= rows[:, column("count_7d")]).all()
