"""A busy loop that records when it was not running: `python -m benchmarks.busy_loop SECONDS` prints the p99 in µs.

It needs nothing but a processor, so whatever interrupts it is the machine's own: its scheduler, other processes, the
hypervisor. The p99 is that of the time which work that arrives at a random moment would have to wait.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

_NOT_RUNNING_NS: Final = 20_000
"""Time between two readings of the clock from which on the loop counts as interrupted; a reading takes 0.1 µs."""


def p99_of_two(seconds: float) -> float:
    """Return the higher p99 in microseconds of two loops at a time, as many as a server and its load generator."""
    command = [sys.executable, "-m", "benchmarks.busy_loop", str(seconds)]
    loops = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    return max(float(loop.communicate()[0]) for loop in loops)


def interruptions_ns(seconds: float) -> list[int]:
    """Return how long each interruption of a busy loop of this duration was."""
    found = []
    last = time.perf_counter_ns()
    end = last + int(seconds * 1e9)
    while last < end:
        now = time.perf_counter_ns()
        if now - last > _NOT_RUNNING_NS:
            found.append(now - last)
        last = now
    return found


def waiting_ns(interruptions: Sequence[int], total_ns: float, quantile: float) -> float:
    """Return the quantile of the time that work waits if it arrives at a random moment in `total_ns`.

    An arrival within an interruption waits for its end. So more than `wait` is waited in the part of the time that is
    more than `wait` before the end of an interruption.

    >>> waiting_ns([100, 300], 1_000, 0.9)  # 100 of 1,000 moments are more than 200 before an end
    200.0
    >>> waiting_ns([100], 1_000, 0.9), waiting_ns([], 1_000, 0.99)
    (0.0, 0.0)
    """
    longer = sorted(interruptions, reverse=True)
    allowed, so_far = (1.0 - quantile) * total_ns, 0.0
    for count, length in enumerate(longer, start=1):
        following = longer[count] if count < len(longer) else 0
        gained = count * (length - following)
        if so_far + gained >= allowed:
            return round(length - (allowed - so_far) / count, 6)
        so_far += gained
    return 0.0


if __name__ == "__main__":
    gc.disable()
    duration = float(sys.argv[1])
    print(waiting_ns(interruptions_ns(duration), duration * 1e9, 0.99) / 1e3)
