"""Compilation with numba, with a cache on disk from which a process starts without compiling.

numba's own cache has two limitations. It depends on a function's file only, so it would miss a change in the feature
table or in the layout of the state, which are compiled as constants. And it does not work in a read-only folder, as
images have. The code in an image must run on every processor of its architecture: set `NUMBA_CPU_NAME=generic` both
where the image is built and where it runs.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from numba import njit
from numba.core import config
from numba.core.caching import InTreeCacheLocator, UserProvidedCacheLocator
from numba.extending import is_jitted


def compiled(function: Callable[..., Any], *, nogil: bool = False) -> Any:
    """Decorator: compile `function` on its first call, or load it from the cache on disk; without fast-math.

    With `nogil`, other threads run Python during a call. That pays for calls of at least some hundred microseconds,
    after which the caller may have to wait for the interpreter lock.
    """
    before = config.CACHE_LOCATOR_CLASSES
    config.CACHE_LOCATOR_CLASSES = f"{__name__}.{KernelCacheLocator.__name__}"
    try:
        dispatcher = njit(cache=True, nogil=nogil)(function)
    finally:
        config.CACHE_LOCATOR_CLASSES = before
    cache = dispatcher._cache
    if not Path(cache.cache_path).is_dir():
        cache.disable()
    elif not os.access(cache.cache_path, os.W_OK):
        cache.save_overload = lambda _signature, _result: None
    return dispatcher


class KernelCacheLocator(InTreeCacheLocator):  # type: ignore[misc]
    """Locates the cache beside the source or in `NUMBA_CACHE_DIR`, even read-only; its key is the packages' sources."""

    def __init__(self, py_func: Callable[..., Any], py_file: str) -> None:
        super().__init__(py_func, py_file)
        self._packages = sorted(_packages_of(py_func.__globals__))
        if config.CACHE_DIR:
            self._cache_path = UserProvidedCacheLocator(py_func, py_file).get_cache_path()

    def ensure_cache_path(self) -> None:
        """Create the folder if it can be created."""
        try:
            Path(self._cache_path).mkdir(parents=True, exist_ok=True)
        except OSError:
            return  # `compiled` disables the cache then

    def get_source_stamp(self) -> str:
        """Return the key of the cache: compiled code depends on all sources of its package and of those it calls."""
        return "".join(map(sources_digest, self._packages))


def _packages_of(module: dict[str, Any]) -> set[Path]:
    """Return the folder of a module, of those from which it imports compiled functions, and of those they import from.

    `module`: its global names. A function that calls another one contains the machine code of both.
    """
    waiting, found = {module["__file__"]: module}, dict[str, Any]()
    while waiting:
        file, names = waiting.popitem()
        found[file] = names
        called = (value.py_func.__globals__ for value in names.values() if is_jitted(value))
        waiting |= {other["__file__"]: other for other in called if other["__file__"] not in found}
    return {Path(file).parent for file in found}


@lru_cache
def sources_digest(package: Path) -> str:
    """Return the SHA-256 digest of the names and contents of all source files in the folder `package`."""
    digest = hashlib.sha256()
    for path in sorted(package.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
