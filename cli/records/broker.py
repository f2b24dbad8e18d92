"""The broker that a command uses: the one of the settings, or that of the running stack."""

from __future__ import annotations

from adapters.kafka.topics import FIRST_RESPONSE_SECONDS, wait_for_broker
from adapters.local_stack.stack_home import StackHome
from adapters.runtime.settings import PREFIX, Settings, read_settings, variables_of
from cardwatch.errors import Misconfigured


def broker_settings() -> Settings:
    """Return `stack_settings` once their cluster answers. Raises also what `wait_for_broker` raises."""
    settings = stack_settings()
    wait_for_broker(settings.kafka, FIRST_RESPONSE_SECONDS)
    return settings


def stack_settings() -> Settings:
    """Return the settings of this process if they name a broker, else those of the stack that `cardwatch up` runs.

    A variable of this process, such as CARDWATCH_TRACES_URL, goes before the stack's value.

    Raises `Misconfigured` if neither names a broker.
    """
    settings = read_settings()
    if settings.kafka_bootstrap:
        return settings
    home = StackHome(settings)
    status = home.status()
    if status is None:
        raise Misconfigured(
            f"CARDWATCH_KAFKA_BOOTSTRAP is empty and no stack runs in {home.folder}: name the broker, or start a "
            "stack with `cardwatch up`"
        )
    given = {PREFIX + name: value for name, value in variables_of(PREFIX).items() if name != "HOME"}
    return read_settings({**status.environment, **given})
