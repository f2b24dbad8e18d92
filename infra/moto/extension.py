"""Everything that we add to moto: importing this module registers it, `install` puts it into moto."""

from __future__ import annotations

from typing import Final

from infra.moto import (  # noqa: F401 (they register what they add)
    added,
    bookkeeping,
    endpoints,
    functions,
    ground,
    jobs,
    machines,
    registry,
    rules,
    shards,
)
from infra.moto.shards import Readers

EXTENSIONS: Final = tuple(added.REGISTER)
"""All of it, for the server and for the table in docs/aws.md."""


def install() -> None:
    """Put it into moto in this process, and start what works in the background."""
    added.install()
    Readers().start()
