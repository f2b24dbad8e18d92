"""Cleanup process that ends the processes of a stack whose owner died without stopping them.

`python -m infra.local_stack.orphan_cleanup RECORD` waits for the end of its standard input. The owner holds that pipe
open and never writes to it, so the end of input means that the owner has ended, for any reason (SIGKILL, a crash, a
closed terminal). Unlike prctl's PR_SET_PDEATHSIG this works on Linux and macOS, and for grandchildren.
"""

from __future__ import annotations

import sys
from pathlib import Path

from adapters.local_stack.process_record import end_processes, read_record


def main() -> None:
    """Wait for the owner's end, then end the processes of its record."""
    sys.stdin.buffer.read()
    end_processes(read_record(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
