"""Our errors for those of the Kafka clients, with what to do. Both clients share the texts."""

from __future__ import annotations

from typing import Final

from adapters.kafka.port import Failure, RequestFailed
from cardwatch.errors import BrokerUnavailable, CardwatchError, Misconfigured, Superseded

NO_TOPIC: Final = (
    "there is no such topic. Every service creates the topics when it starts: start one, or correct "
    "CARDWATCH_KAFKA_BOOTSTRAP"
)


def broker_error(error: RequestFailed, doing: str) -> CardwatchError:
    """Return the Cardwatch error for a failed request: `Superseded`, `Misconfigured` or `BrokerUnavailable`."""
    match error.failure:
        case Failure.SUPERSEDED:
            return Superseded(f"{doing}: another worker has taken over ({error})")
        case Failure.UNKNOWN_TOPIC:
            return Misconfigured(f"{doing}: {NO_TOPIC} ({error})")
        case Failure.FORBIDDEN:
            return Misconfigured(f"{doing}: {error}; the user of CARDWATCH_KAFKA_USERNAME needs this right")
        case Failure.REJECTED:
            return BrokerUnavailable(f"{doing}: {error}; correct login and TLS in the CARDWATCH_KAFKA_ variables")
    return BrokerUnavailable(f"{doing}: {error}; is a broker running at the address in CARDWATCH_KAFKA_BOOTSTRAP?")
