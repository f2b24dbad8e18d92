"""The archive's index and manifest in SQL: one definition for SQLite beside the files and for PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    URL,
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
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, ProgrammingError
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
    wrong password, no such database, no address, a folder that cannot be written. No message holds a password.
    """

    def __init__(self, folder: Path, index_url: str = "", *, readonly: bool) -> None:
        self._file = None if index_url else index_file(folder)
        if self._file is not None:
            self._where = f"the archive's index {self._file}"
            self._engine = _sqlite(self._file, readonly=readonly)
        else:
            url = _address(index_url)
            server = f"{url.host or 'localhost'}:{url.port or 5432}"
            self._where = f"the archive's index at {server}, database {url.database}"
            self._engine = _postgresql(url)

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
    def transaction(self, connection: Connection) -> Iterator[None]:
        """One SQL transaction: all of the block or nothing. Raises `ArchiveUnavailable` if the connection was lost.

        SQLAlchemy would quietly make a new one, which holds no lock.
        """
        if connection.invalidated:
            raise ArchiveUnavailable(f"the connection to {self._where} was lost: a new writer goes on")
        with self.answering(), connection.begin():
            yield

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
        if text.startswith("no such table") or (isinstance(error, ProgrammingError) and "does not exist" in text):
            return ArchiveUnavailable(f"{self._where} holds no archive: the archive service has not run there yet")
        if self._file is not None:
            kind = ArchiveUnavailable if "locked" in text else Misconfigured
            return kind(f"{self._where} cannot be used: {text}")
        if any(refusal in str(error.orig) for refusal in _REFUSALS):
            return Misconfigured(f"{self._where} refuses us: {text}; correct CARDWATCH_INDEX_URL")
        if isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated:
            what_to_do = "start it, or correct CARDWATCH_INDEX_URL"
            return ArchiveUnavailable(f"{self._where} does not answer: {text}; {what_to_do}")
        return CardwatchError(f"{self._where}: {text}")


def _sqlite(file: Path, *, readonly: bool) -> Engine:
    address = f"{file.absolute().as_uri()}?mode={'ro' if readonly else 'rwc'}"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS)
        if not readonly:
            connection.execute("PRAGMA journal_mode = WAL")  # readers go on while the writer writes
        return connection

    # Connected here: an address in a URL of SQLAlchemy's is unquoted, and a folder may have ?, # or % in its name.
    return create_engine("sqlite+pysqlite://", creator=connect, poolclass=NullPool)


def _address(index_url: str) -> URL:
    """What `index_url` means; an @ too many would have part of a password taken for a host or a database."""
    try:
        url = make_url(index_url)
        is_clear = bool(url.database) and index_url.count("@") == (0 if url.username is None else 1)
    except (ArgumentError, ValueError):
        is_clear = False
    if not is_clear:
        raise Misconfigured(
            "CARDWATCH_INDEX_URL is not like postgresql://user:password@host:port/database; in the password @ is"
            " written %40, and / ? # % likewise are %2F %3F %23 %25"
        )
    return url


def _postgresql(url: URL) -> Engine:
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
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
