"""A move log in memory, for many worlds in one process."""

from __future__ import annotations

from threading import Lock

from cardwatch.errors import MoveConflict
from cardwatch.ladder.moves import RecordedMove


class MemoryMoveLog:
    """A `MoveLog` that ends with its process. Threads may share it."""

    def __init__(self) -> None:
        self._appending = Lock()
        self._moves: list[RecordedMove] = []

    def moves(self, after: int = 0) -> list[RecordedMove]:
        """Return the moves with a number above `after`, in order."""
        return self._moves[after:]

    def append(self, move: RecordedMove) -> None:
        """Append a move. Raises `MoveConflict`, and changes nothing, if its number is not the next one."""
        with self._appending:
            if move.number != len(self._moves) + 1:
                raise MoveConflict(f"the log holds {len(self._moves)} moves, so {move.number} is not the next one")
            self._moves.append(move)
