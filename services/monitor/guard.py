"""Watches a canary on live decisions, and takes it off the ladder when a guard rail breaks.

It runs in a thread of the monitor with connections of its own, because the assessment of a day or a retraining may take
a minute, and a broken canary must not decide that long.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct

from adapters.kafka.consumer import LogReader
from adapters.kafka.offsets import OffsetReader
from adapters.kafka.topics import end_offsets
from adapters.runtime.kafka_connection import KafkaConnection
from cardwatch.errors import CardwatchError, MoveRefused, Unavailable
from cardwatch.events import Action
from cardwatch.ladder.guard_rails import CanaryWatch, LiveRows
from cardwatch.ladder.mover import Mover
from cardwatch.ladder.moves import Move, MoveKind
from cardwatch.ladder.policy import GuardRails
from cardwatch.ladder.state import LadderState
from cardwatch.records import Record
from cardwatch.topics import DECISIONS, STREAM_GROUP

ACTOR: Final = "guard rails"
LOOK_SECONDS: Final = 0.5
"""Time between two looks at the newest decisions beside a canary."""
IDLE_SECONDS: Final = 2.0
"""Time between two looks at the ladder without a canary. Each is a connection to the database of the move log."""
PAST_DECISIONS: Final = 2_000
"""Past decisions per partition that are read first: what was before the canary is what it is compared with."""

log = logging.getLogger(__name__)


class _WatchedDecision(Struct):
    """The fields of a decision that guard rails are about."""

    decided_at: str
    latency_ms: float
    action: str
    degraded: bool = False
    model_version: str | None = None
    probability: float | None = None
    shadow_probability: float | None = None
    canary_version: str | None = None


_DECODER: Final = msgspec.json.Decoder(_WatchedDecision)
_NAN: Final = float("nan")


class CanaryGuard:
    """Follows the topic `decisions` while a version is canary. It belongs to no group and commits nothing."""

    def __init__(self, broker: KafkaConnection, mover: Mover, policy: GuardRails) -> None:
        self._broker, self._mover, self._policy = broker, mover, policy
        self._reader: LogReader | None = None
        self._watch: CanaryWatch | None = None
        self._watched = ""

    @property
    def is_watching(self) -> bool:
        """Whether there was a canary at the last look."""
        return self._watch is not None

    def close(self) -> None:
        """Close the connections."""
        self._watched, self._watch = "", None
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def look(self) -> Move | None:
        """Read new decisions and return the move that retired the canary, None if there is no reason or no canary.

        Raises `Unavailable` if the broker, the move log or the registry does not answer.
        """
        state = self._mover.state()
        if state.canary is None:
            self.close()
            return None
        if state.canary.version != self._watched or self._reader is None or self._watch is None:
            self.close()
            self._reader = LogReader(self._broker, self._positions())
            self._watch, self._watched = (
                CanaryWatch(self._policy, state.canary.version, state.canary.at_ms),
                state.canary.version,
            )
        while records := self._reader.poll(LOOK_SECONDS):
            if (rows := live_rows(records)) is not None:
                self._watch.add(rows)
            if len(records) < 1_000:
                break
        return self._step_down(state, self._watch)

    def _step_down(self, state: LadderState, watch: CanaryWatch) -> Move | None:
        verdict = watch.verdict()
        if not verdict.checks or verdict.passed:
            return None
        reason = "; ".join(verdict.failures)
        try:
            return self._mover.move(
                MoveKind.RETIRE, self._watched, actor=ACTOR, reason=reason[:500], evidence=verdict, expected=state
            )
        except MoveRefused as error:
            log.warning("the canary, version %s, was not retired: %s", self._watched, error)
            return None

    def _positions(self) -> dict[tuple[str, int], int]:
        ends = end_offsets(self._broker, DECISIONS)
        with closing(OffsetReader(self._broker, STREAM_GROUP)) as offsets:
            return {
                (DECISIONS, partition): max(end - PAST_DECISIONS, offsets.begin(DECISIONS, partition))
                for partition, end in ends.items()
            }


def live_rows(records: Sequence[Record]) -> LiveRows | None:
    """Return the decisions of these records in the order of their times; None without any. Others are passed over."""
    decisions = []
    for record in records:
        try:
            decisions.append(_DECODER.decode(record.value or b""))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
    if not decisions:
        return None
    moments = np.array([each.decided_at.removesuffix("Z") for each in decisions], "datetime64[ms]").astype(np.float64)
    order = np.argsort(moments, kind="stable")
    return LiveRows(
        decided_at_ms=moments,
        latency_ms=np.array([each.latency_ms for each in decisions]),
        canary_versions=np.array([each.canary_version or "" for each in decisions], np.str_),
        is_by_canary=np.array(
            [each.canary_version is not None and each.canary_version == each.model_version for each in decisions],
            np.bool_,
        ),
        is_degraded=np.array([each.degraded for each in decisions], np.bool_),
        is_alert=np.array([each.action != Action.APPROVE.value for each in decisions], np.bool_),
        probabilities=np.array([_NAN if each.probability is None else each.probability for each in decisions]),
        other_probabilities=np.array(
            [_NAN if each.shadow_probability is None else each.shadow_probability for each in decisions]
        ),
    ).at(order)


def watch_canaries(guard: CanaryGuard, stopping: threading.Event) -> None:
    """Look until `stopping` is set, twice a second beside a canary. What does not answer is asked again."""
    with closing(guard):
        problem = ""
        while not stopping.wait(LOOK_SECONDS if guard.is_watching else IDLE_SECONDS):
            try:
                guard.look()
                problem = ""
            except Unavailable as error:
                guard.close()
                if str(error) != problem:
                    problem = str(error)
                    log.warning("the canary is not watched: %s", problem)
            except CardwatchError as error:
                guard.close()
                if str(error) != problem:
                    problem = str(error)
                    log.error("the canary is not watched: %s", problem)


class GuardThread:
    """Runs `watch_canaries` beside the monitor. `make` builds the guard in the thread, with its connections."""

    def __init__(self, make: Callable[[], CanaryGuard]) -> None:
        self._make, self._stopping = make, threading.Event()
        self._thread = threading.Thread(target=self._run, name="canary-guard", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        watch_canaries(self._make(), self._stopping)
