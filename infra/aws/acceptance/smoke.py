"""A deployed system asked whether it works: ten transactions in, their decisions out, and one request to the API."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec
from msgspec import Struct, structs

from cardwatch.errors import CardwatchError
from cardwatch.events import Action, Channel, Decision, Transaction, decode, encode
from infra.aws.acceptance.traffic import RecordWriter

TRANSACTIONS: Final = 10
POLL_SECONDS: Final = 0.25
TIMEOUT_SECONDS: Final = 120.0
"""The first batch after a deployment waits for the function's image to be unpacked, and for its event source."""


class RecordReader(Protocol):
    """A stream, see `adapters.aws.kinesis.KinesisReader`."""

    def poll(self) -> list[bytes]:
        """What has come since the last call."""
        ...


class TimedDecision(Struct, frozen=True):
    """A decision, and how long after its transaction was sent it was read here; the polling is in it."""

    decision: Decision
    seconds: float


def new_transactions(now: datetime, run: str) -> list[Transaction]:
    """Ten ordinary payments of ten cards that nobody has seen, a second apart and the last one at `now`.

    `run` makes their ids their own: a transaction that was decided before gets no second decision.
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
    writer: RecordWriter,
    reader: RecordReader,
    *,
    patience_seconds: float = TIMEOUT_SECONDS,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> list[TimedDecision]:
    """Send these and wait until each has its decision; in the order in which they arrive, repeats left out.

    Raises `CardwatchError` if some have none after `patience_seconds`.
    """
    waiting = {transaction.transaction_id for transaction in transactions}
    arrived: list[TimedDecision] = []
    writer.write([(transaction.card_id, encode(transaction)) for transaction in transactions])
    start = clock()
    while waiting:
        for value in reader.poll():
            decision = decode(value, Decision)
            if decision.transaction.transaction_id in waiting:
                waiting.remove(decision.transaction.transaction_id)
                arrived.append(TimedDecision(decision, clock() - start))
        if waiting and clock() - start > patience_seconds:
            raise CardwatchError(
                f"{len(waiting)} of {len(transactions)} transactions have no decision after {patience_seconds:g} s; "
                "see the log group of the stream's function, and the queues dead-letters and abandoned"
            )
        if waiting:
            pause(POLL_SECONDS)
    return arrived


def unsent_transaction(transaction: Transaction, run: str) -> Transaction:
    """A payment like this one that was not sent: what was sent is known to be a repeat, and gets no answer."""
    return structs.replace(transaction, transaction_id=f"smoke-{run}-unsent_transaction")


class ScoreResponse(Struct):
    """What we look at in the answer to a unsent_transaction; it has more."""

    action: Action
    sequence: int | None = None
    degraded: bool = False


def parse_score_response(body: bytes) -> ScoreResponse:
    """The answer of `POST /v1/score`. Raises `CardwatchError` if it is none."""
    try:
        return msgspec.json.decode(body, type=ScoreResponse)
    except msgspec.DecodeError as error:
        raise CardwatchError(f"the API's answer is not that of /v1/score ({error}): {body[:200]!r}") from error
