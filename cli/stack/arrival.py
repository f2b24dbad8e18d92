"""From the start of the stack until it is wholly at work, told in lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from threading import Event, Thread
from typing import Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

from infra.local_stack.stack import SERVERS
from infra.local_stack.stack_home import Place, Standing

DECISIONS: Final = "cardwatch_stream_decisions"
LOOK_SECONDS: Final = 0.5
SAY_AGAIN_SECONDS: Final = 5.0
# Without transactions there is nothing to train a model on, and nothing to serve.
NEED_TRAFFIC: Final = ("bootstrap", "scoring")
# Whoever comes first here and is waited for is why the others wait too.
FIRST_OF_ALL: Final = (*SERVERS, "archive", "pipelines", "bootstrap", "scoring")

Ask = Callable[[Mapping[str, Place]], dict[str, str | None]]


class Arrival:
    """Looks at processes, and says who has become ready and what is waited for.

    The stack has arrived when all are ready and, with traffic, the model has decided; a generator whose plan is done
    sends nothing to be decided.
    """

    def __init__(
        self,
        ask: Ask,
        has_decided: Callable[[Place], bool],
        say: Callable[[str], None],
        *,
        with_traffic: bool,
        now_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask, self._has_decided, self._say, self._with_traffic = ask, has_decided, say, with_traffic
        self._now_seconds = now_seconds
        self._begin = self._said_at = now_seconds()
        self._ready: set[str] = set()
        self._said = ""

    def look(self, standing: Standing) -> bool:
        """Ask everybody once; whether the stack has arrived."""
        needed = {
            name: place
            for name, place in standing.places.items()
            if name not in standing.done and (self._with_traffic or name not in NEED_TRAFFIC)
        }
        answers = self._ask(needed)
        reasons = {name: why for name, why in answers.items() if why is not None}
        for name in needed:
            if name not in reasons and name not in self._ready:
                self._ready.add(name)
                self._tell(f"{name} is ready")
        if self._with_traffic and not reasons and "generator" not in standing.done:
            if self._has_decided(standing.places["stream"]):
                return True
            reasons = {"stream": "no transaction has been decided by the model yet"}
        self._tell_reason(reasons)
        return not reasons

    def _tell_reason(self, reasons: Mapping[str, str]) -> None:
        if not reasons or self._now_seconds() - self._said_at < SAY_AGAIN_SECONDS:
            return
        name = next((first for first in FIRST_OF_ALL if first in reasons), next(iter(reasons)))
        said = f"{name} waits: {reasons[name]}"
        if said != self._said:
            self._tell(said)
            self._said = said

    def _tell(self, what: str) -> None:
        self._said_at = self._now_seconds()
        self._say(f"{self._said_at - self._begin:5.0f} s  {what}")


class Lookout:
    """Does an arrival's looking in a thread of its own; questions take their time."""

    def __init__(self, arrival: Arrival) -> None:
        self._arrival = arrival
        self._standing: Standing | None = None
        self._has_arrived = Event()
        Thread(target=self._look, name="lookout", daemon=True).start()

    def turn(self, standing: Standing) -> bool:
        """Hand over the newest description; whether the stack has arrived."""
        self._standing = standing
        return self._has_arrived.is_set()

    def _look(self) -> None:
        while self._standing is None or not self._arrival.look(self._standing):
            time.sleep(LOOK_SECONDS)
        self._has_arrived.set()


def model_has_decided(stream: Place) -> bool:
    """Whether this stream worker has made a decision that is not degraded."""
    try:
        told = httpx.get(f"{stream.address}/metrics", timeout=5.0, trust_env=False).text
    except httpx.HTTPError:
        return False
    return any(
        sample.value > 0 and sample.labels.get("degraded") == "false"
        for family in text_string_to_metric_families(told)
        if family.name == DECISIONS
        for sample in family.samples
        if sample.name == f"{DECISIONS}_total"
    )
