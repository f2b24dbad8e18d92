"""A login to PostgreSQL with the driver of the MLflow or the Prefect server, before that server starts.

The servers end with a traceback if they cannot log in, which for Prefect holds the address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from adapters.runtime.addresses import plain, split_userinfo, without_userinfo
from adapters.runtime.settings import Settings
from cardwatch.errors import Misconfigured, Unavailable

CONNECT_SECONDS: Final = 3
_POSTGRES_PORT: Final = 5432

# Texts of errors at the login that no retry can fix.
_REFUSALS: Final = (
    "authentication failed", "does not exist", "no password supplied", "permission denied", "pg_hba.conf",
)  # fmt: skip


def log_in(settings: Settings, name: str) -> None:
    """Log in to `settings.database_url` once, as the server `name` will, and close the connection.

    Raises `Unavailable` if the database does not answer, and `Misconfigured` if it refuses the login. No message holds
    the password.
    """
    url = plain(settings.database_url)
    parts = urlsplit(split_userinfo(url).url)
    where = f"the database {parts.path.strip('/')} at {parts.hostname or 'localhost'}:{parts.port or _POSTGRES_PORT}"
    try:
        _DRIVERS[name](url)
    except Exception as error:  # the drivers' errors have no common base
        lines = without_userinfo(str(error)).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        is_refused = any(refusal in str(error) for refusal in _REFUSALS)
    else:
        return
    # Outside of the handler, so that the driver's error, which may hold the address, is not its context.
    if is_refused:
        raise Misconfigured(
            f"{where} rejects the login: {reason}; correct CARDWATCH_DATABASE_URL or CARDWATCH_POSTGRES_PASSWORD"
        )
    raise Unavailable(f"{where} does not answer: {reason}; start it, or correct CARDWATCH_DATABASE_URL")


def _psycopg(url: str) -> None:
    import psycopg  # noqa: PLC0415 (each image has one of the drivers)

    psycopg.connect(url, connect_timeout=CONNECT_SECONDS).close()


def _asyncpg(url: str) -> None:
    import asyncpg  # noqa: PLC0415

    async def connect() -> None:
        connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
        await connection.close()

    asyncio.run(connect())


_DRIVERS: Final[dict[str, Callable[[str], None]]] = {"mlflow": _psycopg, "prefect": _asyncpg}
