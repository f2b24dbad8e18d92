"""The move log in SQL: a SQLite file of the local stack, or a table beside the archive's index on PostgreSQL.

The primary key is the number of a move, so of two writers of the same number one fails, on both databases. Rows are
only inserted. Nothing in a database keeps its owner from changing rows; the chain of digests shows that it happened.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Column, Engine, Integer, LargeBinary, MetaData, Table, func, insert, inspect, select
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, ProgrammingError

from adapters.archive.index import database_address, postgresql_engine, sqlite_engine
from cardwatch.errors import CardwatchError, CorruptMoves, Misconfigured, MoveConflict, MoveLogUnavailable
from cardwatch.ladder.moves import RecordedMove

FILE: Final = "moves.sqlite"
"""Name of the SQLite file in the home of the local stack."""

_META: Final = MetaData()
_MOVES: Final = Table(
    "model_moves",
    _META,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("content", LargeBinary, nullable=False),
)


class SqlMoveLog:
    """A `cardwatch.ladder.moves.MoveLog` at `index_url` (`postgresql://...`), or in the folder `home` without one."""

    def __init__(self, home: Path, index_url: str = "") -> None:
        self._engine: Engine
        if index_url:
            url = database_address(index_url)
            self._file = None
            self._where = f"the move log at {url.host or 'localhost'}:{url.port or 5432}, database {url.database}"
            self._engine = postgresql_engine(url)
        else:
            self._file = home / FILE
            self._where = f"the move log {self._file}"
            self._engine = sqlite_engine(self._file, readonly=False)

    def moves(self, after: int = 0) -> list[RecordedMove]:
        """Return the moves with a number above `after`, in order; none if nobody has moved anything yet."""
        if self._file is not None and not self._file.exists():
            return []
        newer = select(_MOVES).where(_MOVES.c.number > after).order_by(_MOVES.c.number)
        try:
            with self._translated_errors(), self._engine.connect() as connection:
                rows = connection.execute(newer).all()
            return [RecordedMove(number=row.number, content=bytes(row.content)) for row in rows]
        except _NoTable:
            return []
        except TypeError as error:  # SQLite stores values of any type in a column
            raise CorruptMoves(f"{self._where} holds a move that is no bytes: it was changed") from error

    def append(self, move: RecordedMove) -> None:
        """Append a move. Raises `MoveConflict`, and changes nothing, if its number is not the next one."""
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        row = {"number": move.number, "content": move.content}
        with self._translated_errors():
            self._create_table()
            try:
                with self._engine.begin() as connection:
                    newest = connection.execute(select(func.max(_MOVES.c.number))).scalar() or 0
                    if move.number != newest + 1:
                        raise MoveConflict(f"{self._where} holds {newest} moves, so {move.number} is not the next one")
                    connection.execute(insert(_MOVES).values(row))
            except IntegrityError:
                raise MoveConflict(f"{self._where} holds another move {move.number} since a moment ago") from None

    def _create_table(self) -> None:
        try:
            _META.create_all(self._engine)
        except DBAPIError:
            # Two processes that make their first move at once both find no table, and one cannot create it any more.
            if not inspect(self._engine).has_table(_MOVES.name):
                raise

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._translated(error) from None  # the text of the original error may contain bound values

    def _translated(self, error: DBAPIError) -> CardwatchError:
        lines = str(error.orig).strip().splitlines()
        text = lines[0] if lines else type(error).__name__
        if "no such table" in text or (isinstance(error, ProgrammingError) and "does not exist" in text):
            return _NoTable(text)
        if self._file is not None and "locked" not in text:
            return Misconfigured(f"{self._where} cannot be used: {text}")
        if isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated:
            what_to_do = "try again" if self._file else "start the database, or correct CARDWATCH_INDEX_URL"
            return MoveLogUnavailable(f"{self._where} does not answer: {text}; {what_to_do}")
        return CardwatchError(f"{self._where}: {text}")


class _NoTable(CardwatchError):
    """The table does not exist: nothing was moved yet."""
