"""Seeded chaos: kills, restarts, stopped processes and network faults at random, several at the same time."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from random import Random
from typing import NamedTuple

import psutil

from adapters.local_stack.toxiproxy import DOWNSTREAM, UPSTREAM
from adapters.runtime.clock import epoch_ms
from tests.deadlines import pass_seconds
from tests.e2e.proxied_stack import STORE, ProxiedStack
from tests.e2e.system import GENERATOR
from tests.e2e.toxiproxy import Proxy

BROKER, SCORING = "kafka", "scoring"
PAUSE_SECONDS = (0.2, 2.0)
"""Range of the time between two faults of a burst."""

Heal = Callable[[], None]


class Fault(NamedTuple):
    """A kind of fault of a target. `begin` returns what ends it, after a time from the range in seconds.

    The weight says how often the fault is chosen. Broker, store and scoring service have lower ones, because while one
    of them is away the other faults meet workers that only wait.
    """

    target: str
    kind: str
    begin: Callable[[], Heal]
    seconds: tuple[float, float]
    weight: float


class Chaos:
    """Lets faults of a stack come in bursts, each of one to eight faults, of which several last at the same time.

    Every target has at most one fault at a time. Between two bursts nothing is broken until `await_recovery` returns,
    so that on a slow machine, too, the faults meet a system that works. The order of the faults and their times follow
    from the seed; what they meet does not.
    """

    def __init__(self, stack: ProxiedStack, seed: int, await_recovery: Callable[[], None]) -> None:
        self._stack, self._chance, self._await_recovery = stack, Random(seed), await_recovery
        self._log = stack.supervisor.log("chaos").open("w", buffering=1)  # beside the logs of the processes
        self._active: dict[str, tuple[float, Heal]] = {}
        self.counts: Counter[tuple[str, str]] = Counter()
        """Faults by target and kind."""
        self.bursts = 0
        self._faults = [
            *(
                fault
                for worker in stack.proxies
                for fault in self._process_faults(worker, pause=(0.5, 9.0), weight=1.0)
            ),
            *self._process_faults(SCORING, pause=(0.5, 7.0), weight=0.5),
            *self._process_faults(BROKER, pause=(0.5, 8.0), weight=0.3),
            *self._process_faults(STORE, pause=(0.5, 4.0), weight=0.4),
            *(
                fault
                for worker, proxies in stack.proxies.items()
                for server, proxy in proxies._asdict().items()
                for fault in self._network_faults(f"{worker} to {server}", proxy)
            ),
        ]

    def run(self, seconds: float) -> None:
        """Let bursts come for this time; the recovery after the last one may take longer."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for _ in range(self._chance.randint(1, 8)):
                self._begin_one()
                self._pass(self._chance.uniform(*PAUSE_SECONDS))
            for target in list(self._active):
                self._heal(target)
            self._await_recovery()
            self.bursts += 1
        self._log.close()

    def _begin_one(self) -> None:
        weights = [fault.weight for fault in self._faults]
        [fault] = self._chance.choices(self._faults, weights)
        seconds = self._chance.uniform(*fault.seconds)
        if fault.target in self._active:
            return
        self._log.write(f"{epoch_ms() / 1_000:.1f} {fault.target}: {fault.kind} for {seconds:.1f} s\n")
        self._active[fault.target] = time.monotonic() + seconds, fault.begin()
        self.counts[fault.target, fault.kind] += 1

    def _pass(self, seconds: float) -> None:
        """Let time pass, and end the faults whose time is over."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for target, (due, _) in list(self._active.items()):
                if due <= time.monotonic():
                    self._heal(target)
            self._require_running()
            pass_seconds(0.05)

    def _heal(self, target: str) -> None:
        _, heal = self._active.pop(target)
        heal()

    def _require_running(self) -> None:
        """Fail if a process has ended by itself: no fault of another part is a reason to."""
        for name in self._stack.supervisor.names:
            if name not in self._active and name != GENERATOR:
                log = self._stack.supervisor.log(name)
                assert is_running(self._stack.supervisor.pid(name)), f"{name} has ended: {log.read_text()[-2_000:]}"

    def _process_faults(self, name: str, *, pause: tuple[float, float], weight: float) -> list[Fault]:
        def kill() -> Heal:
            self._stack.supervisor.kill(name)
            return lambda: self._start(name)

        def restart() -> Heal:
            os.kill(self._stack.supervisor.pid(name), signal.SIGTERM)

            def start_again() -> None:
                self._stack.supervisor.stop(name)
                self._start(name)

            return start_again

        def stop() -> Heal:
            members = self._members(name)
            for each in members:
                with suppress(psutil.NoSuchProcess):
                    each.suspend()
            return lambda: resume(members)

        def lose_data() -> Heal:
            self._stack.supervisor.kill(name)
            self._stack.delete_store()
            return lambda: self._start(name)

        lost = [Fault(name, "SIGKILL and loss of its data", lose_data, (0.0, 2.0), weight)] if name == STORE else []
        return [
            *lost,
            Fault(name, "SIGKILL", kill, (0.0, 2.0), 2.0 * weight),
            Fault(name, "restart", restart, (0.0, 1.0), weight),
            Fault(name, "SIGSTOP", stop, pause, 1.5 * weight),
        ]

    def _network_faults(self, target: str, proxy: Proxy) -> list[Fault]:
        def held(begin: Callable[[Proxy], None]) -> Callable[[], Heal]:
            def start() -> Heal:
                begin(proxy)
                return proxy.heal

            return start

        faults: Mapping[str, Callable[[Proxy], None]] = {
            "latency": lambda each: each.delay(200),
            "jitter": lambda each: each.delay(100, jitter=100),
            "cut": Proxy.cut,
            "refused": Proxy.refuse,
            "half-open": lambda each: each.swallow(UPSTREAM, DOWNSTREAM),
            "lost answers": lambda each: each.swallow(DOWNSTREAM),
            "1 kB/s": lambda each: each.limit(1),
        }
        return [Fault(target, kind, held(begin), (0.2, 6.0), 0.25) for kind, begin in faults.items()]

    def _start(self, name: str) -> None:
        if name == STORE:
            self._stack.start_store()
        else:
            self._stack.start(name, wait=False)

    def _members(self, name: str) -> list[psutil.Process]:
        leader = psutil.Process(self._stack.supervisor.pid(name))
        return [leader, *leader.children(recursive=True)]


def is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def resume(members: list[psutil.Process]) -> None:
    for each in members:
        with suppress(psutil.NoSuchProcess):
            each.resume()
