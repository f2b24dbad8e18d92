"""The stack that runs until it is stopped: all of it is started in no order, and whoever dies is started again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from msgspec import structs

from adapters.kafka.topics import broker_answers
from adapters.runtime.settings import PREFIX, Settings
from infra.local_stack.kafka_jars import Report
from infra.local_stack.process_tree import ProcessIdentity
from infra.local_stack.servers import refusal
from infra.local_stack.stack import ADDRESSED, SERVERS, SERVICES, LocalStack, address_of
from infra.local_stack.stack_home import Place, StackHome, Standing

PORTS: Final = {"kafka": 9092, "scoring": 3000, "mlflow": 5000, "prefect": 4200}
_TURN_SECONDS: Final = 0.3
# The settings that others need to find its parts.
_TOLD: Final = (
    "home", "kafka_bootstrap", "mlflow_url", "prefect_url", "scoring_url", "store_url", "index_url", "api_key",
    "partitions",
)  # fmt: skip
_READY_AT: Final = {"mlflow": "/health", "prefect": "/api/health"}


def stand(
    home: StackHome,
    given: Settings,
    jobs: Mapping[str, Sequence[str]],
    *,
    report: Report,
    each_turn: Callable[[Standing], bool],
) -> None:
    """Start everything in `home`, and `jobs` (modules with their arguments), and keep it running until interrupted.

    `each_turn` is called again and again with the description, and says whether the stack has arrived. Raises what
    `LocalStack` raises before it stands; afterwards a death is no error.
    """
    with LocalStack(home.settings(given), ports=PORTS, report=report) as stack:
        stack.start(*SERVERS, wait=False)
        stack.start(*SERVICES, wait=False)
        stack.supervisor.spawn([stack.job(name, *command) for name, command in jobs.items()])
        standing = written = _describe(stack)
        home.write(standing)
        while True:
            revived = dict(standing.revived)
            for name in stack.supervisor.revive():
                revived[name] = revived.get(name, 0) + 1
            standing = structs.replace(standing, revived=revived, done=stack.supervisor.done)
            standing = structs.replace(standing, arrived=standing.arrived or each_turn(standing))
            if standing != written:
                home.write(standing)
                written = standing
            time.sleep(_TURN_SECONDS)


def why_not_ready(places: Mapping[str, Place]) -> dict[str, str | None]:
    """For each process why it is not at work, None if it is; all are asked at once."""
    if not places:
        return {}
    with ThreadPoolExecutor(len(places)) as pool:
        return dict(zip(places, pool.map(_ask, places.values()), strict=True))


def _ask(place: Place) -> str | None:
    if not place.question:
        return None if broker_answers(place.address) else "it does not answer yet"
    return refusal(place.question)


def _describe(stack: LocalStack) -> Standing:
    values = {key: getattr(stack.settings, key) for key in _TOLD}
    return Standing(
        owner=ProcessIdentity.of(os.getpid()),
        environment={PREFIX + key.upper(): str(value) for key, value in values.items() if value},
        ours=[PREFIX + address_of(name).upper() for name in ADDRESSED if not stack.is_given(name)],
        places={name: _place(stack, name) for name in [*SERVERS, *SERVICES, *stack.supervisor.names]},
    )


def _place(stack: LocalStack, name: str) -> Place:
    if name not in SERVERS:
        address = stack.watched_at(name)
        return Place(address, f"{address}/readyz")
    address = getattr(stack.settings, address_of(name))
    return Place(address, address.rstrip("/") + _READY_AT[name] if name in _READY_AT else "")
