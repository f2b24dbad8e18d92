"""The switches of all faults: their states, and what switching one does.

Faults of the simulated world are requested in the topic `progress`, where the generator finds them. Faults of processes
are signals to processes of the stack. A process that is frozen for a time is resumed by the console. Those of the
network are in `network_switches`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from msgspec import structs

from adapters.local_stack.process_actions import (
    FREEZE,
    FREEZE_SECONDS,
    KILL,
    RESUME,
    may_touch,
    process_fault_of,
)
from adapters.runtime.clock import epoch_ms
from cardwatch.errors import Misconfigured
from cardwatch.live.faults import (
    GENERATOR,
    GENERATOR_ENDED,
    NETWORK_FAULTS,
    NO_GENERATOR,
    WORLD_FAULTS,
    FaultText,
    checked_seconds,
    off_request,
    on_request,
    why_without_effect,
)
from cardwatch.live.frames import BOXES, BoxState
from cardwatch.live.topic_state import TopicState
from cardwatch.progress import FaultRequested
from services.console.boxes import ProcessObservation
from services.console.fault_switch import ASKED, OFF, ON, FaultSwitch, switch_of
from services.console.metrics_pages import kind_of
from services.console.network_switches import NetworkSwitches
from services.console.processes import WatchedProcesses

RESUME_SECONDS: Final = 0.25
"""Interval at which processes are looked for whose freeze is over."""
_KILLED: Final = FaultText(
    name=KILL,
    title="Kill",
    box="",
    effect="The process and its descendants end at once (SIGKILL). The stack starts it again by itself.",
    look="The box turns red, and is ready again after some seconds.",
)
_FROZEN: Final = FaultText(
    name=FREEZE,
    title="Freeze",
    box="",
    effect="The process keeps its memory and its connections, and answers nothing (SIGSTOP), until it is resumed.",
    look="The box says frozen. What needs the process waits.",
    seconds=FREEZE_SECONDS,
)

log = logging.getLogger(__name__)


class FaultSwitches:
    """The switches of a stack. `publish` writes a record to the topic `progress`.

    `live_rate` returns the rate of the generator's plan on live days, 0 if it has none, None if it is not known.
    """

    def __init__(
        self,
        state: TopicState,
        processes: WatchedProcesses,
        network: NetworkSwitches,
        publish: Callable[[FaultRequested], None],
        live_rate: Callable[[], float | None] = lambda: None,
        now_ms: Callable[[], float] = epoch_ms,
    ) -> None:
        self._state, self._processes, self._network = state, processes, network
        self._publish, self._live_rate, self._now_ms = publish, live_rate, now_ms

    def switches(self) -> list[FaultSwitch]:
        """Return all switches: those of processes, of the simulated world, and of the network."""
        observed = self._processes.observe()
        return [
            *(switch for process in _in_order(observed) for switch in self._of_process(process)),
            *(self._of_world(text, self._why_not(text.name, observed)) for text in WORLD_FAULTS.values()),
            *self._network.switches(),
        ]

    def on(self, name: str, seconds: float | None) -> None:
        """Switch a fault on for `seconds`, None: for its default. Raises `Misconfigured` if that is impossible."""
        now_ms = self._now_ms()
        match process_fault_of(name):
            case (action, process) if action == KILL:
                if seconds is not None:
                    raise Misconfigured(f"{name} happens once and has no end: leave the seconds out")
                self._processes.act(process, KILL)
            case (_, process):
                lasting = checked_seconds(FREEZE_SECONDS if seconds is None else seconds)
                self._processes.freeze_until(process, now_ms + 1000.0 * lasting)
            case _ if name in NETWORK_FAULTS:
                self._network.on(name, seconds)
            case _:
                request = on_request(name, seconds, now_ms)
                if reason := self._why_not(name, self._processes.observe()):
                    raise Misconfigured(reason)
                self._publish(request)
                log.info("audit: fault %s on until %s ms since 1970", name, request.until_ms)

    def off(self, name: str) -> None:
        """Switch a fault off. Raises `Misconfigured` if there is no such fault, or none that could be switched off."""
        match process_fault_of(name):
            case (action, _) if action == KILL:
                raise Misconfigured(f"{name} happens once and has no end: the stack starts the process again")
            case (_, process):
                self._processes.act(process, RESUME)
            case _ if name in NETWORK_FAULTS:
                self._network.off(name)
            case _:
                self._publish(off_request(name))
                log.info("audit: fault %s off", name)

    def keep_resuming(self, stopping: threading.Event) -> None:
        """Resume processes whose freeze is over, until `stopping` is set."""
        while not stopping.wait(RESUME_SECONDS):
            try:
                self._processes.resume_due()
            except (Misconfigured, OSError) as error:  # the stack is being stopped
                log.warning("nothing can be resumed: %s", error)

    def _why_not(self, name: str, observed: list[ProcessObservation]) -> str | None:
        return _why_without_generator(observed) or why_without_effect(name, self._live_rate())

    def _of_world(self, text: FaultText, unavailable: str | None) -> FaultSwitch:
        now_ms = self._now_ms()
        with self._state.lock:
            state = self._state.faults[text.name]
            is_on, since_ms, until_ms = state.on_since_ms is not None, state.on_since_ms, state.until_ms
            is_asked = state.is_asked(now_ms)
        return structs.replace(
            switch_of(text, "world", GENERATOR, text.name),
            state=ON if is_on else ASKED if is_asked else OFF,
            since_ms=since_ms,
            until_ms=until_ms if is_on or is_asked else None,
            unavailable=unavailable,
        )

    def _of_process(self, process: ProcessObservation) -> list[FaultSwitch]:
        switches = [
            switch_of(text, "process", process.name, f"{text.name}-{process.name}") for text in (_KILLED, _FROZEN)
        ]
        kill, freeze = (
            structs.replace(switch, box=kind_of(process.name), unavailable=_why_untouchable(process))
            for switch in switches
        )
        if process.pid is None and process.commands:
            on = process.commands
            return [
                structs.replace(kill, commands={"on": on[KILL]}),
                structs.replace(freeze, commands={"on": on[FREEZE], "off": on[RESUME]}),
            ]
        if process.state is BoxState.FROZEN:
            freeze = structs.replace(freeze, state=ON, until_ms=self._processes.frozen_until_ms(process.name))
        return [kill, freeze]


def _in_order(observed: list[ProcessObservation]) -> list[ProcessObservation]:
    """Return the processes that have a box and may be touched, in the order of the diagram."""
    shown = [each for each in observed if kind_of(each.name) in BOXES and may_touch(each.name)]
    return sorted(shown, key=lambda each: BOXES.index(kind_of(each.name)))


def _why_untouchable(process: ProcessObservation) -> str | None:
    if process.state is BoxState.EXTERNAL:
        return "Somebody else has started it."
    if process.state is BoxState.DONE:
        return "It has ended as intended."
    if process.pid is None:
        return "It does not run at the moment." if not process.commands else "No container may touch another one."
    return None


def _why_without_generator(observed: list[ProcessObservation]) -> str | None:
    generators = [each for each in observed if each.name == GENERATOR]
    if not generators:
        return NO_GENERATOR
    if all(each.state is BoxState.DONE for each in generators):
        return GENERATOR_ENDED
    return None
