"""The containers of an endpoint, who of them answers, and how an endpoint goes from one such fleet to the next."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from infra.moto.capture import Capture
from infra.moto.models import ModelContainer, NotStarted, Reply

_POLL_SECONDS: Final = 0.1
_DRAIN_SECONDS: Final = 10.0


class Fleet:
    """One container for each variant: `production` share the requests by weight, `shadows` get copies of all.

    `production` has (container, weight). However many instances a variant wants, it has one container.
    """

    def __init__(
        self, production: Sequence[tuple[ModelContainer, float]], shadows: Sequence[ModelContainer], capture: Capture
    ) -> None:
        self._production, self._shadows, self._capture = production, shadows, capture
        self._served = [0] * len(production)
        self._copies = ThreadPoolExecutor(max(1, len(shadows)), thread_name_prefix="shadow")
        self._lock, self._asking, self._quiet = threading.Lock(), 0, threading.Condition()

    def start(self) -> None:
        """Start all at the same time; raises `NotStarted`, with none of them left, if one does not."""
        containers = list(self._containers())
        with ThreadPoolExecutor(len(containers)) as starting:
            failures = [future.exception() for future in [starting.submit(each.start) for each in containers]]
        if failed := next((failure for failure in failures if failure), None):
            self.stop()
            raise NotStarted(str(failed))

    def ask(self, body: bytes, headers: Mapping[str, str], variant: str = "") -> tuple[str, Reply]:
        """Let the variant that is meant, or whose turn it is, answer; gives its name. Raises `KeyError`."""
        container = self._choose(variant)
        for shadow in self._shadows:
            self._copies.submit(self._ask, shadow, body, headers)
        return container.variant, self._ask(container, body, headers)

    def stop(self) -> None:
        """End all containers, once those who are asking have their answers."""
        with self._quiet:
            self._quiet.wait_for(lambda: not self._asking, timeout=_DRAIN_SECONDS)
        self._copies.shutdown(cancel_futures=True)
        for container in self._containers():
            container.stop()

    def _choose(self, variant: str) -> ModelContainer:
        with self._lock:
            if variant:
                return {container.variant: container for container, _weight in self._production}[variant]
            # By turns, in proportion to the weights.
            behind = [
                (served + 1) / weight if weight else float("inf")
                for served, (_container, weight) in zip(self._served, self._production, strict=True)
            ]
            chosen = behind.index(min(behind))
            self._served[chosen] += 1
            return self._production[chosen][0]

    def _ask(self, container: ModelContainer, body: bytes, headers: Mapping[str, str]) -> Reply:
        with self._quiet:
            self._asking += 1
        try:
            reply = container.ask(body, headers)
        finally:
            with self._quiet:
                self._asking -= 1
                self._quiet.notify_all()
        if reply.status == 200:
            sent = headers.get("Content-Type", ""), body
            self._capture.keep(container.variant, sent, (reply.headers.get("content-type", ""), reply.body))
        return reply

    def _containers(self) -> Iterable[ModelContainer]:
        yield from (container for container, _weight in self._production)
        yield from self._shadows


class Fleets:
    """The fleet of each endpoint."""

    def __init__(self) -> None:
        self._fleets: dict[str, Fleet] = {}

    def of(self, endpoint: str) -> Fleet:
        """The fleet that answers for an endpoint; raises `KeyError`."""
        return self._fleets[endpoint]

    def roll_out(self, endpoint: str, new: Fleet, alarmed: Callable[[], str], watch_seconds: float) -> None:
        """Start `new`, let it answer, and end the one before if nothing is `alarmed` within `watch_seconds`.

        Blue and green, all at once. If `new` does not start, or an alarm's name comes, the one before answers on and
        `NotStarted` says why.
        """
        new.start()
        old = self._fleets.get(endpoint)
        self._fleets[endpoint] = new
        until = time.monotonic() + watch_seconds
        while old is not None:
            if alarm := alarmed():
                self._fleets[endpoint] = old
                new.stop()
                raise NotStarted(f"the alarm {alarm} went off: the update was rolled back")
            if time.monotonic() >= until:
                old.stop()
                return
            time.sleep(_POLL_SECONDS)

    def stop(self, endpoint: str) -> None:
        """End the fleet of an endpoint, if it has one."""
        if fleet := self._fleets.pop(endpoint, None):
            fleet.stop()


def weights(variants: Sequence[Mapping[str, Any]]) -> list[float]:
    """The weights of production variants, 1 where none is given."""
    return [float(variant.get("InitialVariantWeight", 1.0)) for variant in variants]
