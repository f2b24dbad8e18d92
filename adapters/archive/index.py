"""The archive's index and manifest in SQL: one definition for SQLite beside the files and for PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
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
    Select,
    String,
    Table,
    create_engine,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.pool import NullPool

from adapters.runtime.addresses import SqlUrl, plain
from cardwatch.errors import ArchiveUnavailable, CardwatchError, Misconfigured

CONNECT_SECONDS: Final = 5
STATEMENT_MS: Final = 60_000
BUSY_SECONDS: Final = 30.0

# Texts of errors at the login to PostgreSQL that no retry can fix.
_REFUSALS: Final = ("authentication failed", "does not exist", "no password supplied", "permission denied")

META: Final = MetaData()
"""The definitions of all tables."""
_BIG_INTEGER: Final = BigInteger().with_variant(Integer, "sqlite")


def _table(name: str, *columns: Any) -> Table:
    """Return a table whose rows SQLite stores in the order of their key."""
    return Table(name, META, *columns, sqlite_with_rowid=False)


POSITIONS: Final = Table(
    "positions",
    META,
    Column("topic", String, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", _BIG_INTEGER, nullable=False),
)
FILES: Final = Table(
    "files",
    META,
    Column("path", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("day", String, nullable=False),
    Column("rows", Integer, nullable=False),
)
CLOSED_DAYS: Final = Table(
    "closed_days", META, Column("day", String, primary_key=True), Column("table_id", String, nullable=False)
)
TRANSACTIONS: Final = _table(
    "transactions",
    Column("transaction_id", String, primary_key=True),
    Column("card_id", String, nullable=False),
    Column("occurred_at_ms", _BIG_INTEGER, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("log_offset", _BIG_INTEGER, nullable=False),
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
    Column("effective_at_ms", _BIG_INTEGER, nullable=False),
    Column("observed_at_ms", _BIG_INTEGER, nullable=False),
    Column("source", String, nullable=False),
    Column("partition", Integer, primary_key=True),
    Column("log_offset", _BIG_INTEGER, primary_key=True),
    Index("labels_by_transaction", "transaction_id"),
)
ALERTS: Final = _table(
    "alerts",  # challenged and declined transactions, without those of the control share
    Column("transaction_id", String, primary_key=True),
    Column("card_id", String, nullable=False),
    Column("merchant_id", String, nullable=False),
    Column("day", String, nullable=False),
    Column("occurred_at_ms", _BIG_INTEGER, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("log_offset", _BIG_INTEGER, nullable=False),
    Column("channel", String, nullable=False),
    Column("amount_minor", _BIG_INTEGER, nullable=False),
    Column("currency", String),  # None if the archive lacks the transaction of a former decision
    Column("action", String, nullable=False),
    Column("probability", Float),
    Column("reasons", String, nullable=False),  # a JSON array of codes
    Column("model_version", String),
    Index("alerts_by_day", "day"),
    Index("alerts_by_position", "partition", "log_offset"),
)
CASE_ACTIONS: Final = _table(
    "case_actions",  # what people did with alerts: the only table that no topic holds
    Column("transaction_id", String, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("kind", String, nullable=False),
    Column("actor", String, nullable=False),
    Column("at_ms", _BIG_INTEGER, nullable=False),
    Column("written_ms", _BIG_INTEGER, nullable=False),  # of the wall clock, for an audit
    Column("assignee", String),
    Column("outcome", String),
    Column("text", String, nullable=False),
    Index("case_actions_by_kind", "kind", "transaction_id", "outcome"),
)
BACKFILLS: Final = Table("backfills", META, Column("name", String, primary_key=True))
"""Tables of later versions that hold the rows of earlier files, too."""


def index_file(folder: Path) -> Path:
    """Return the SQLite file of the archive in `folder`."""
    return folder / "index.sqlite"


class ArchiveIndex:
    """The index of the archive in `folder`: at `index_url` (`postgresql://...`), or beside the files without one.

    Every call raises `ArchiveUnavailable` if the database does not answer, and `Misconfigured` if it never will: a
    wrong password, no such database, no address, a folder that cannot be written. No message holds a password.

    `is_shared`: whether the index is on a server.
    """

    def __init__(self, folder: Path, index_url: str = "", *, readonly: bool) -> None:
        self._file = None if index_url else index_file(folder)
        self.is_shared = self._file is None
        if self._file is not None:
            self._where = f"the archive's index {self._file}"
            self._engine = sqlite_engine(self._file, readonly=readonly)
        else:
            url = database_address(index_url)
            server = f"{url.host or 'localhost'}:{url.port or 5432}"
            self._where = f"the archive's index at {server}, database {url.database}"
            self._engine = postgresql_engine(url)

    @property
    def exists(self) -> bool:
        """Whether the index exists. On a server it is assumed to exist."""
        return self._file is None or self._file.exists()

    def query(self, query: Select[Any]) -> Sequence[Any]:
        """Return the rows of a query, on a connection of its own."""
        with self.translated_errors(), self._engine.connect() as connection:
            return connection.execute(query).all()

    def connect(self) -> Connection:
        """Open a connection that the caller closes."""
        with self.translated_errors():
            return self._engine.connect()

    @contextmanager
    def transaction(self, connection: Connection) -> Iterator[None]:
        """Run the block in one SQL transaction. Raises `ArchiveUnavailable` if the connection was lost.

        SQLAlchemy would silently open a new connection, which does not hold the lock.
        """
        if connection.invalidated:
            raise ArchiveUnavailable(f"the connection to {self._where} was lost: a new writer continues")
        with self.translated_errors(), connection.begin():
            yield

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Translate errors of the database and its driver."""
        try:
            yield
        except DBAPIError as error:
            raise self._archive_error(error) from None  # the text of the original error may contain bound values

    def _archive_error(self, error: DBAPIError) -> CardwatchError:
        lines = str(error.orig).strip().splitlines()
        text = lines[0] if lines else type(error).__name__
        if text.startswith("no such table") or (isinstance(error, ProgrammingError) and "does not exist" in text):
            return ArchiveUnavailable(f"{self._where} holds no archive: the archive service has not run there yet")
        if self._file is not None:
            kind = ArchiveUnavailable if "locked" in text else Misconfigured
            return kind(f"{self._where} cannot be used: {text}")
        if any(refusal in str(error.orig) for refusal in _REFUSALS):
            return Misconfigured(
                f"{self._where} rejects the login: {text}; correct CARDWATCH_INDEX_URL or CARDWATCH_POSTGRES_PASSWORD"
            )
        if isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated:
            what_to_do = "start it, or correct CARDWATCH_INDEX_URL"
            return ArchiveUnavailable(f"{self._where} does not answer: {text}; {what_to_do}")
        return CardwatchError(f"{self._where}: {text}")


def sqlite_engine(file: Path, *, readonly: bool) -> Engine:
    """Return an engine for a SQLite file that other processes may use at the same time."""
    address = f"{file.absolute().as_uri()}?mode={'ro' if readonly else 'rwc'}"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS)
        if not readonly:
            connection.execute("PRAGMA journal_mode = WAL")  # readers are not blocked by the writer
        return connection

    # Not by URL: SQLAlchemy unquotes the path in a URL, but a folder may have ?, # or % in its name.
    return create_engine("sqlite+pysqlite://", creator=connect, poolclass=NullPool)


def database_address(index_url: str) -> URL:
    """Return the parsed `index_url`. Raises `Misconfigured`, without a part of it that may be a password."""
    try:
        return make_url(plain(SqlUrl.parse(plain(index_url))))
    except ValueError as error:
        reason = str(error)
    # Outside of the handler, so that the original error, which may hold a password, is not its context.
    raise Misconfigured(
        f"CARDWATCH_INDEX_URL: {reason}; the password can be left out and set as CARDWATCH_POSTGRES_PASSWORD"
    )


def postgresql_engine(url: URL) -> Engine:
    """Return an engine for a database on a server, with a connection for each use."""
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        poolclass=NullPool,  # a connection per use, so that a restarted server causes no errors
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            # Detect a server that disappeared within seconds instead of two hours.
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 15_000,
            "options": f"-c statement_timeout={STATEMENT_MS}",
        },
    )
