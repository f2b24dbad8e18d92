"""Log lines about single transactions."""

from __future__ import annotations

import logging
import time

import pytest

from adapters.scoring.wire_format import (
    BINARY,
    IDS_HEADER,
    encode_rows,
)
from services.scoring.api.card_states import CardStateReader
from tests.unit.services.scoring.worker import (
    FIRST,
    PAYMENTS,
    Service,
    rows,
)


def test_single_transactions_are_logged_at_debug_only(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    def ask() -> dict[str, str]:
        caplog.clear()
        service.score(PAYMENTS[0])
        service.score_batch(PAYMENTS[1:3])
        service.request("POST", "/v1/explain", FIRST)
        service.invoke(encode_rows(rows(3)), BINARY, **{IDS_HEADER: "a%2Cb,," + "c" * 1_000})
        return {vars(line)["transaction_id"]: line.getMessage() for line in caplog.records}

    assert ask() == {}
    caplog.set_level(logging.DEBUG, "services.scoring")
    service.use_states(CardStateReader(lambda: service.store, None, time.monotonic))
    told = ask()
    assert list(told) == ["q-0", "q-1", "q-2", "a,b", "c" * 64]
    assert told["q-0"].startswith("explained probability 0.")
    assert told["q-1"].startswith("answered ")
    assert ", version 1, sequence " in told["q-1"]
    assert told["a,b"].startswith("scored probability 0.")
