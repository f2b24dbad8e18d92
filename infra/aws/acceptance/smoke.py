"""Smoke test of a deployed system: ten transactions, their decisions, and one call of the API."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct, structs

from adapters.runtime.retry import poll
from cardwatch.errors import CardwatchError
from cardwatch.events import Action, Channel, Decision, Transaction, decode, encode
from infra.aws.acceptance.traffic import WriteRecords

TRANSACTIONS: Final = 10
POLL_SECONDS: Final = 0.25
TIMEOUT_SECONDS: Final = 120.0
"""The first batch after a deployment waits for the function's image to be unpacked, and for its event source."""


class TimedDecision(Struct, frozen=True):
    """A decision, and the seconds from sending the transaction to reading the decision, polling included."""

    decision: Decision
    seconds: float


def new_transactions(now: datetime, run: str) -> list[Transaction]:
    """Return ten ordinary payments of ten new cards, a second apart and the last one at `now`.

    `run` makes their ids unique: a transaction that was decided before gets no second decision.
    """
    return [
        Transaction(
            transaction_id=f"smoke-{run}-{number}",
            card_id=f"smoke-card-{run}-{number}",
            merchant_id="smoke-shop",
            occurred_at=now - timedelta(seconds=TRANSACTIONS - 1 - number),
            amount_minor=1_000 + 100 * number,
            currency="EUR",
            merchant_category="5411",
            channel=Channel.CHIP,
            country="DE",
        )
        for number in range(TRANSACTIONS)
    ]


def await_decisions(
    transactions: Sequence[Transaction],
    write: WriteRecords,
    read: Callable[[], list[bytes]],
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[TimedDecision]:
    """Send the transactions and return their decisions in order of arrival, without repeats.

    `read` returns the new records of the stream of decisions. Raises `CardwatchError` if some are missing after the
    timeout.
    """
    waiting = {transaction.transaction_id for transaction in transactions}
    received: list[TimedDecision] = []
    write([(transaction.card_id, encode(transaction)) for transaction in transactions])
    start = clock()

    def receive() -> bool:
        for value in read():
            decision = decode(value, Decision)
            if decision.transaction.transaction_id in waiting:
                waiting.remove(decision.transaction.transaction_id)
                received.append(TimedDecision(decision, clock() - start))
        return not waiting

    if not poll(receive, timeout_seconds=timeout_seconds, poll_seconds=POLL_SECONDS, sleep=sleep, clock=clock):
        raise CardwatchError(
            f"{len(waiting)} of {len(transactions)} transactions have no decision after {timeout_seconds:g} s; "
            "see the log group of the stream's function, and the queues dead-letters and abandoned"
        )
    return received


def unsent_transaction(transaction: Transaction, run: str) -> Transaction:
    """Return a similar payment that was not sent to the stream: a repeat would get no score from the API."""
    return structs.replace(transaction, transaction_id=f"smoke-{run}-question")


class ScoreResponse(Struct):
    """The fields of a response of `POST /v1/score` that the smoke test reports."""

    action: Action
    sequence: int | None = None
    degraded: bool = False


def parse_score_response(body: bytes) -> ScoreResponse:
    """Parse the response of `POST /v1/score`. Raises `CardwatchError` if it is none."""
    try:
        return msgspec.json.decode(body, type=ScoreResponse)
    except msgspec.DecodeError as error:
        raise CardwatchError(f"the API's answer is not that of /v1/score ({error}): {body[:200]!r}") from error
