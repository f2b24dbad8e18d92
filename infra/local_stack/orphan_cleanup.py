"""Ends the processes of a stack whose owner died without doing so (SIGKILL, a crash, a closed terminal).

`python -m infra.local_stack.orphan_cleanup RECORD` reads its standard input, which the owner holds open and never
writes to. The end
of the input is the end of the owner, however it came; what the record then names is ended. That works alike on Linux
and macOS, and for children of children (prctl's PR_SET_PDEATHSIG does neither).
"""

from __future__ import annotations

import sys
from pathlib import Path

from infra.local_stack.process_record import end_leftovers, read_record


def main() -> None:
    """Wait for the owner's end, then end what it left."""
    sys.stdin.buffer.read()
    end_leftovers(read_record(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
