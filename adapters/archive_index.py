"""The archive's index and manifest in SQL: one definition for SQLite beside the files and for PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.pool import NullPool

from cardwatch.errors import ArchiveUnavailable, CardwatchError, Misconfigured

CONNECT_SECONDS: Final = 5
STATEMENT_MS: Final = 60_000
BUSY_SECONDS: Final = 30.0

# What PostgreSQL says before it knows whom it talks to: nothing that waiting would mend.
_REFUSALS: Final = ("authentication failed", "does not exist", "no password supplied", "permission denied")

_META: Final = MetaData()
_WHOLE: Final = BigInteger().with_variant(Integer, "sqlite")


def _table(name: str, *columns: Any) -> Table:
    """A table whose rows SQLite keeps in the order of their key."""
    return Table(name, _META, *columns, sqlite_with_rowid=False)


POSITIONS: Final = Table(
    "positions",
    _META,
    Column("topic", String, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", _WHOLE, nullable=False),
)
FILES: Final = Table(
    "files",
    _META,
    Column("path", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("day", String, nullable=False),
    Column("rows", Integer, nullable=False),
)
CLOSED_DAYS: Final = Table(
    "closed_days", _META, Column("day", String, primary_key=True), Column("table_id", String, nullable=False)
)
TRANSACTIONS: Final = _table(
    "transactions",
    Column("transaction_id", String, primary_key=True),
    Column("card_id", String, nullable=False),
    Column("occurred_at_ms", _WHOLE, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("log_offset", _WHOLE, nullable=False),
    Index("transactions_by_card", "card_id", "occurred_at_ms"),
)
DECISIONS: Final = _table(
    "decisions",
    Column("transaction_id", String, primary_key=True),
    Column("day", String, nullable=False),
    Column("action", String, nullable=False),
    Column("probability", Float),
    Column("model_version", String),
    Column("degraded", Integer, nullable=False),
)
LABELS: Final = _table(
    "labels",
    Column("transaction_id", String, nullable=False),
    Column("is_fraud", Integer, nullable=False),
    Column("effective_at_ms", _WHOLE, nullable=False),
    Column("observed_at_ms", _WHOLE, nullable=False),
    Column("source", String, nullable=False),
    Column("partition", Integer, primary_key=True),
    Column("log_offset", _WHOLE, primary_key=True),
    Index("labels_by_transaction", "transaction_id"),
)


def index_file(folder: Path) -> Path:
    """The SQLite file of the archive in `folder`."""
    return folder / "index.sqlite"


class ArchiveIndex:
    """The index of the archive in `folder`: at `index_url` (`postgresql://...`), or beside the files without one.

    Every call raises `ArchiveUnavailable` if the database does not answer, and `Misconfigured` if it never will: a
    wrong password, no such database, a folder that cannot be written. No message holds a password.
    """

    def __init__(self, folder: Path, index_url: str = "", *, readonly: bool) -> None:
        self._file = None if index_url else index_file(folder)
        if self._file is not None:
            self._where = f"the archive in {folder}"
            self._engine = _sqlite(self._file, readonly=readonly)
        else:
            url = make_url(index_url)
            self._where = f"the archive's index at {url.host}:{url.port or 5432}, database {url.database}"
            self._engine = _postgresql(index_url)

    @property
    def is_shared(self) -> bool:
        """Whether it is a server's, and no file."""
        return self._file is None

    @property
    def exists(self) -> bool:
        """Whether anybody has made it: known of a file, assumed of a server."""
        return self._file is None or self._file.exists()

    def create(self, connection: Connection) -> None:
        """Make what is missing of its tables."""
        _META.create_all(connection)

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """A connection for as long as the block runs."""
        with self.answering(), self._engine.connect() as connection:
            yield connection

    def connect(self) -> Connection:
        """A connection that the caller closes."""
        with self.answering():
            return self._engine.connect()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Turn what the database or its driver raises into our errors."""
        try:
            yield
        except DBAPIError as error:
            raise self._meaning(error) from None  # the original error's own text may name what it was given

    def _meaning(self, error: DBAPIError) -> CardwatchError:
        said = str(error.orig).strip().splitlines()
        text = said[0] if said else type(error).__name__
        if self._file is not None:
            return Misconfigured(f"{self._where} cannot be used: {text}")
        if isinstance(error, ProgrammingError) and "does not exist" in text:  # a table, not the database
            return ArchiveUnavailable(f"{self._where} holds no archive: the archive service has not run there yet")
        if any(refusal in str(error.orig) for refusal in _REFUSALS):
            return Misconfigured(f"{self._where} refuses us: {text}; correct CARDWATCH_INDEX_URL")
        if isinstance(error, OperationalError) or error.connection_invalidated:
            return ArchiveUnavailable(f"{self._where} does not answer: {text}")
        return CardwatchError(f"{self._where}: {text}")


def _sqlite(file: Path, *, readonly: bool) -> Engine:
    address = f"{file.absolute().as_uri()}?mode={'ro' if readonly else 'rwc'}&uri=true"
    engine = create_engine(f"sqlite+pysqlite:///{address}", poolclass=NullPool, connect_args={"timeout": BUSY_SECONDS})
    if not readonly:

        @event.listens_for(engine, "connect")
        def write_ahead(connection: Any, _record: object) -> None:
            """Readers go on while the writer writes."""
            connection.execute("PRAGMA journal_mode = WAL")

    return engine


def _postgresql(index_url: str) -> Engine:
    url = make_url(index_url).set(drivername="postgresql+psycopg")
    return create_engine(
        url,
        poolclass=NullPool,  # a connection for each use: a server that was started again is found again
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            # A server that vanished is noticed within seconds, not after two hours.
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 15_000,
            "options": f"-c statement_timeout={STATEMENT_MS}",
        },
    )
