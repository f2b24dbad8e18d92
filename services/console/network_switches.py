"""The switches of the faults of the network, and the marks that they leave on the timeline."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from msgspec import structs

from adapters.local_stack.network_faults import NetworkFault, NetworkFaults
from adapters.runtime.clock import epoch_ms
from cardwatch.errors import CardwatchError
from cardwatch.live.faults import NETWORK_FAULTS, network_until_ms
from cardwatch.live.frames import EventKind
from cardwatch.live.topic_state import TopicState
from services.console.fault_switch import OFF, ON, FaultSwitch, switch_of

ENFORCE_SECONDS: Final = 0.25
"""Interval at which faults are looked for whose time is over."""

log = logging.getLogger(__name__)


class NetworkSwitches:
    """The switches of the network faults of a stack. `state` has the timeline."""

    def __init__(self, faults: NetworkFaults, state: TopicState, now_ms: Callable[[], float] = epoch_ms) -> None:
        self._faults, self._state, self._now_ms = faults, state, now_ms
        self._told: dict[str, NetworkFault] = {}
        self._problem = ""

    def switches(self) -> list[FaultSwitch]:
        """Return the switches of all faults of the network."""
        active = self._faults.active()
        switches = []
        for name, text in NETWORK_FAULTS.items():
            fault = active.get(name)
            switches.append(
                structs.replace(
                    switch_of(text, "network", text.box, name),
                    state=OFF if fault is None else ON,
                    since_ms=None if fault is None else fault.since_ms,
                    until_ms=None if fault is None else fault.until_ms,
                    unavailable=self._faults.why_unavailable(name),
                )
            )
        return switches

    def on(self, name: str, seconds: float | None) -> None:
        """Switch a fault on for `seconds`, None: for its default. Raises what `NetworkFaults.on` raises."""
        now_ms = self._now_ms()
        until_ms = network_until_ms(seconds, now_ms)
        self._faults.on(name, now_ms, until_ms)
        log.info("audit: fault %s on until %.0f ms since 1970", name, until_ms)

    def off(self, name: str) -> None:
        """Switch a fault off. Raises what `NetworkFaults.off` raises."""
        self._faults.off(name, self._now_ms())
        log.info("audit: fault %s off", name)

    def keep_ending(self, stopping: threading.Event) -> None:
        """End faults whose time is over, and tell the timeline of all, until `stopping` is set."""
        while not stopping.wait(ENFORCE_SECONDS):
            self.look()

    def look(self) -> None:
        """End faults whose time is over, and tell the timeline which have begun and ended since the last look."""
        problem = ""
        try:
            self._faults.enforce(self._now_ms())
        except (CardwatchError, OSError) as error:  # Toxiproxy is being started again, or the stack is being stopped
            problem = str(error)
        if problem and problem != self._problem:
            log.warning("faults of the network cannot be ended now: %s", problem)
        self._problem = problem
        active = self._faults.active()
        for name in self._told.keys() - active.keys():
            self._tell(name, self._now_ms(), "ends", [])
        for name in active.keys() - self._told.keys():
            self._tell(name, active[name].since_ms, "begins", [NETWORK_FAULTS[name].effect])
        self._told = active

    def _tell(self, name: str, at_ms: float, what: str, details: list[str]) -> None:
        with self._state.lock:
            title = NETWORK_FAULTS[name].title.lower()
            self._state.timeline.note(at_ms, EventKind.FAULT, f"fault: {title} {what}", self._state.day, details)
