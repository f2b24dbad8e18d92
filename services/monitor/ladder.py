"""The ladder as the monitor drives it: steps at the end of an event day, and a progress record for each move."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from typing import Final, Protocol

from adapters.archive.tables import ArchivedTables
from adapters.runtime.policy_file import Policies
from adapters.runtime.retry import StoppableRetry, poll
from adapters.scoring.client import ServedVersions
from cardwatch.errors import ScoringUnavailable
from cardwatch.events import from_epoch_ms, utc_day
from cardwatch.ladder.climbing import climb
from cardwatch.ladder.mover import Mover
from cardwatch.ladder.stage_verdict import StageVerdict
from cardwatch.ladder.state import LadderState
from cardwatch.progress import ModelMoved

LOOK_SECONDS: Final = 2.0
"""Time between two looks for moves of other processes: a connection to the move log and a request to the registry."""
SERVING_TIMEOUT_SECONDS: Final = 60.0
"""Time after a move until a warning says that the scoring service does not serve by it yet."""


class ServesVersions(Protocol):
    """Tells which versions the scoring service serves."""

    def versions(self) -> ServedVersions:
        """Return the versions. Raises `ScoringUnavailable` if the service does not say."""


class MonitoredLadder:
    """Lets candidates climb, and tells about all moves. `now_seconds` is a monotonic clock."""

    def __init__(
        self,
        mover: Mover,
        archive: ArchivedTables,
        policies: Policies,
        served: ServesVersions,
        retry: StoppableRetry,
        *,
        now_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mover, self._archive, self._policies = mover, archive, policies
        self._served, self._retry, self._now_seconds = served, retry, now_seconds
        self._next_look = -1.0

    def day_ended(self, day: date) -> bool:
        """Make the step that the policy allows after this archived day, and return whether there was one."""
        verdict_of = partial(self._verdict, day)
        moves = self._retry.call(
            lambda: climb(self._mover, self._policies.ladder, day=day, verdict_of=verdict_of),
            doing=f"moving versions after {day}",
        )
        return bool(moves)

    def look_at_once(self) -> None:
        """Let the next `new_moves` look although it has looked a moment ago."""
        self._next_look = -1.0

    def wait_until_served(self) -> None:
        """Wait until the scoring service serves champion and candidate of the ladder."""
        state = self._retry.call(self._mover.state, doing="reading the ladder")
        if state.champion is not None:
            self._retry.call(lambda: self._poll_served(state), doing="waiting for the ladder to be served")

    def new_moves(self, published: int, newest_day: date | None) -> Iterator[ModelMoved]:
        """Yield records of the moves after number `published`, looking every `LOOK_SECONDS`, and repair the projection.

        `newest_day` is that of a move that was made without knowing any archived day.
        """
        if self._now_seconds() < self._next_look:
            return
        self._next_look = self._now_seconds() + LOOK_SECONDS
        if self._mover.state().number > published:
            yield from self._told(published, newest_day)
        self._mover.repair()

    def _told(self, published: int, newest_day: date | None) -> Iterator[ModelMoved]:
        for move, state in self._mover.states_after(published):
            yield ModelMoved(
                day=move.day or newest_day or utc_day(from_epoch_ms(move.at_ms)),
                number=move.number,
                kind=str(move.kind),
                version=move.version,
                champion_version=state.champion.version if state.champion else None,
                actor=move.actor,
                reason=move.reason,
                share=move.share,
            )

    def _verdict(self, day: date, state: LadderState) -> StageVerdict | None:
        # It imports pandas, for which a monitor without a candidate need not wait.
        from adapters.archive.stage_decisions import candidate_verdict  # noqa: PLC0415

        return candidate_verdict(self._archive, state, day, self._policies)

    def _poll_served(self, state: LadderState) -> None:
        wanted = ServedVersions.of(state)
        served = poll(
            self._served.versions,
            until=lambda found: found == wanted,
            timeout_seconds=SERVING_TIMEOUT_SECONDS,
            poll_seconds=0.25,
            sleep=self._retry.wait,
        )
        if served != wanted:
            raise ScoringUnavailable(
                f"the scoring service serves {served}, {SERVING_TIMEOUT_SECONDS:g} s after the ladder became {wanted}"
            )
