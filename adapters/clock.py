"""The one place that asks the wall clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """The machine's clock, as a `cardwatch.ports.Clock`."""

    def now(self) -> datetime:
        """The current moment in UTC."""
        return datetime.now(UTC)


def epoch_ms() -> float:
    """Milliseconds since 1970 on the machine's clock, the time scale of Kafka's record time stamps."""
    return time.time() * 1000.0
