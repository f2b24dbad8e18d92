"""The containers of endpoints: distribution of requests to variants, and blue/green updates."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from adapters.runtime.retry import poll
from infra.moto.sagemaker.data_capture import DataCapture
from infra.moto.sagemaker.model_container import ContainerNotStarted, ContainerResponse, ModelContainer

_DRAIN_SECONDS: Final = 10.0
"""Maximum time to wait for running requests before containers are stopped."""


class VariantInstances:
    """The containers of one endpoint configuration, one for each variant whatever its instance count.

    `production` has (container, weight). Production variants share the requests by weight; each of the `shadows` gets a
    copy of every request.
    """

    def __init__(
        self,
        production: Sequence[tuple[ModelContainer, float]],
        shadows: Sequence[ModelContainer],
        capture: DataCapture,
    ) -> None:
        self._production, self._shadows, self._capture = production, shadows, capture
        self._served = [0] * len(production)
        self._shadow_pool = ThreadPoolExecutor(max(1, len(shadows)), thread_name_prefix="shadow")
        self._lock, self._active, self._idle = threading.Lock(), 0, threading.Condition()

    def start(self) -> None:
        """Start all containers at the same time. If one does not start, stop all and raise `ContainerNotStarted`."""
        containers = list(self._containers())
        with ThreadPoolExecutor(len(containers)) as pool:
            failures = [future.exception() for future in [pool.submit(each.start) for each in containers]]
        if failed := next((failure for failure in failures if failure), None):
            self.stop()
            raise ContainerNotStarted(str(failed))

    def invoke(self, body: bytes, headers: Mapping[str, str], variant: str = "") -> tuple[str, ContainerResponse]:
        """Invoke the named variant, or the one chosen by weight. Return its name and response.

        Raises `KeyError` if there is no such variant.
        """
        container = self._choose(variant)
        for shadow in self._shadows:
            self._shadow_pool.submit(self._invoke, shadow, body, headers)
        return container.variant, self._invoke(container, body, headers)

    def stop(self) -> None:
        """Stop all containers after the running requests have finished, or after `_DRAIN_SECONDS`."""
        with self._idle:
            self._idle.wait_for(lambda: not self._active, timeout=_DRAIN_SECONDS)
        self._shadow_pool.shutdown(cancel_futures=True)
        for container in self._containers():
            container.stop()

    def _choose(self, variant: str) -> ModelContainer:
        with self._lock:
            if variant:
                return {container.variant: container for container, _weight in self._production}[variant]
            # The variant that would have served the fewest requests in relation to its weight.
            shares = [
                (served + 1) / weight if weight else float("inf")
                for served, (_container, weight) in zip(self._served, self._production, strict=True)
            ]
            chosen = shares.index(min(shares))
            self._served[chosen] += 1
            return self._production[chosen][0]

    def _invoke(self, container: ModelContainer, body: bytes, headers: Mapping[str, str]) -> ContainerResponse:
        with self._idle:
            self._active += 1
        try:
            response = container.invoke(body, headers)
        finally:
            with self._idle:
                self._active -= 1
                self._idle.notify_all()
        if response.status == 200:
            request = headers.get("Content-Type", ""), body
            self._capture.write(container.variant, request, (response.headers.get("content-type", ""), response.body))
        return response

    def _containers(self) -> Iterable[ModelContainer]:
        yield from (container for container, _weight in self._production)
        yield from self._shadows


class EndpointInstances:
    """The containers that serve each endpoint."""

    def __init__(self) -> None:
        self._serving: dict[str, VariantInstances] = {}

    def serving(self, endpoint: str) -> VariantInstances:
        """Return the containers that serve an endpoint. Raises `KeyError` if there are none."""
        return self._serving[endpoint]

    def roll_out(self, endpoint: str, new: VariantInstances, alarm: Callable[[], str], watch_seconds: float) -> None:
        """Start `new`, move all traffic to it, and stop the old containers after `watch_seconds` without an alarm.

        If `new` does not start, or `alarm` returns an alarm's name, the old containers serve and `ContainerNotStarted`
        is raised with the reason.
        """
        new.start()
        old = self._serving.get(endpoint)
        self._serving[endpoint] = new
        if old is None:
            return
        if name := poll(alarm, timeout_seconds=watch_seconds):
            self._serving[endpoint] = old
            new.stop()
            raise ContainerNotStarted(f"the alarm {name} went off: the update was rolled back")
        old.stop()

    def stop(self, endpoint: str) -> None:
        """Stop the containers of an endpoint, if it has any."""
        if instances := self._serving.pop(endpoint, None):
            instances.stop()
