"""The wall clock. Only this module reads it."""

from __future__ import annotations

import time


def epoch_ms() -> float:
    """Return milliseconds since 1970 on the machine's clock, the scale of Kafka's record time stamps."""
    return time.time() * 1000.0
