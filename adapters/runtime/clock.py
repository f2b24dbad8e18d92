"""The one place that asks the wall clock."""

from __future__ import annotations

import time


def epoch_ms() -> float:
    """Milliseconds since 1970 on the machine's clock, the time scale of Kafka's record time stamps."""
    return time.time() * 1000.0
