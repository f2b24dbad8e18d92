"""A quick start of the service's processes: without garbage collection and without optional imports."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

OPTIONAL_MODULES: Final = ("cffi", "coverage", "scipy.linalg.cython_blas")
"""Modules that numba imports if it can, and that nothing here uses. Importing them takes a quarter of a second."""


def begin_start() -> None:
    """Stop collecting garbage, and hide the optional modules, until `end_start`.

    Imports create objects that live until the end, and collections would look at them again and again, for a fifth of
    the time.
    """
    gc.disable()
    for name in OPTIONAL_MODULES:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def end_start() -> None:
    """Collect garbage again, but not among the objects that exist now: looking at them takes 100 ms."""
    for name in OPTIONAL_MODULES:
        if name in sys.modules and sys.modules[name] is None:
            del sys.modules[name]
    gc.freeze()
    gc.enable()
    gc.set_threshold(50_000, 20, 20)  # requests leave no reference cycles


@contextmanager
def without_collections() -> Iterator[None]:
    """Collect no garbage in this context, nor later among the objects that it creates."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()
