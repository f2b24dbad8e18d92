"""The folder whose data are upgraded, held so that no stack starts on it meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import structs

from adapters.runtime.settings import Settings
from cardwatch.errors import Misconfigured
from infra.local_stack.stack import LocalStack
from infra.local_stack.stack_home import StackHome


@contextmanager
def open_home(given: Settings) -> Iterator[LocalStack]:
    """Yield a stack without processes over the folder of `cardwatch up`, or over CARDWATCH_HOME if there is none.

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
    with LocalStack(settings) as stack:
        yield stack
