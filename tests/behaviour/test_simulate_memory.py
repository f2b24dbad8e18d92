"""The memory that `cardwatch simulate` needs does not grow with the number of days."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import sys
from pathlib import Path
from cli.simulate import simulate

simulate(sys.argv[1:], standalone_mode=False)
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""


def peak_kb(out: Path, days: int) -> int:
    """Return the largest resident memory of a process that simulates this many days of 2,000 cards."""
    command = [sys.executable, "-c", _PROGRAM, "--out", str(out), "--cards", "2000", "--days", str(days)]
    # Two files of many row groups: 100 days have 440,000 rows, three groups.
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    return int(done.stdout.splitlines()[-1])


@pytest.mark.long  # it simulates 1,000 days
@pytest.mark.timeout(1_200)
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from Linux's /proc")
def test_1000_days_need_the_memory_of_100(tmp_path: Path) -> None:
    few, many = peak_kb(tmp_path / "few", 100), peak_kb(tmp_path / "many", 1_000)
    assert many < 1.2 * few, f"{few:,} kB for 100 days, {many:,} kB for 1,000 days"
