"""The folder whose data are upgraded, held so that no stack starts on it meanwhile, or left as it is for a check."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import structs

from adapters.archive.index import index_file
from adapters.local_stack.stack_home import StackHome
from adapters.runtime.settings import Settings
from cardwatch.errors import Misconfigured
from infra.local_stack.stack import LocalStack


@contextmanager
def open_home(settings: Settings) -> Iterator[LocalStack]:
    """Yield a stack without processes over the folder of `upgraded_settings`, held until the end of the block."""
    with LocalStack(settings) as stack:
        yield stack


@contextmanager
def open_copy(settings: Settings) -> Iterator[LocalStack]:
    """Yield a stack without processes over a temporary folder with copies of the databases in the home of `settings`.

    These are the registry, to which MLflow writes when it starts, and the archive's index, beside which SQLite leaves
    files when it is read. Models and rows are not copied.
    """
    with TemporaryDirectory(prefix="cardwatch-check-") as folder:
        for database in (index_file(settings.archive), settings.home / "mlflow" / "mlflow.db"):
            copy = Path(folder) / database.parent.name
            for file in database.parent.glob(f"{database.name}*"):  # with the journal of a process that was killed
                copy.mkdir(exist_ok=True)
                shutil.copy2(file, copy)
        with LocalStack(structs.replace(settings, home=Path(folder))) as stack:
            yield stack


def upgraded_settings(given: Settings) -> Settings:
    """Return the settings with the folder of `cardwatch up`, or with CARDWATCH_HOME if there is none.

    Raises `Misconfigured` if there are no data, or while a stack runs on them.
    """
    home = StackHome(given)
    if home.folder.exists():
        if (record := home.record()) is not None:
            raise Misconfigured(
                f"the stack in {home.folder} is running (process {record.owner.pid}): stop it with `cardwatch down`, "
                "and run `cardwatch upgrade` again"
            )
        settings = home.settings(given)
    else:
        settings = structs.replace(given, home=given.home.absolute())
    if not any(path.exists() for path in (settings.archive, settings.tables, settings.store)):
        raise Misconfigured(f"CARDWATCH_HOME={str(given.home)!r} has no archive, tables or card states to upgrade")
    return settings
