"""How kernels are compiled: by numba, kept on disk, and started from there without a compiler.

numba's own cache has two gaps. It looks at a function's file alone, so that a change in the feature table or in the
state's layout, which are compiled in as constants, would go unnoticed. And it refuses to work from a folder that cannot
be written, which is what an image has. The code in an image is made for any processor of its kind: set
`NUMBA_CPU_NAME=generic` both where it is built and where it runs.
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


def compiled(function: Callable[..., Any]) -> Any:
    """Compile `function` on its first call, or load what an earlier process compiled. Never with fast-math."""
    before = config.CACHE_LOCATOR_CLASSES
    config.CACHE_LOCATOR_CLASSES = f"{__name__}.{KernelCacheLocator.__name__}"
    try:
        dispatcher = njit(cache=True)(function)
    finally:
        config.CACHE_LOCATOR_CLASSES = before
    kept = dispatcher._cache
    if not Path(kept.cache_path).is_dir():
        kept.disable()
    elif not os.access(kept.cache_path, os.W_OK):
        kept.save_overload = _keep_in_memory
    return dispatcher


class KernelCacheLocator(InTreeCacheLocator):  # type: ignore[misc]
    """Beside the source, or in `NUMBA_CACHE_DIR`; for the very sources of its package; read-only if need be."""

    def __init__(self, py_func: Callable[..., Any], py_file: str) -> None:
        super().__init__(py_func, py_file)
        self._package = Path(py_file).parent
        if config.CACHE_DIR:
            self._cache_path = UserProvidedCacheLocator(py_func, py_file).get_cache_path()

    def ensure_cache_path(self) -> None:
        """Make the folder where that is possible."""
        try:
            Path(self._cache_path).mkdir(parents=True, exist_ok=True)
        except OSError:
            return  # it can still be compiled in memory

    def get_source_stamp(self) -> str:
        """What the compiled code depends on."""
        return sources_digest(self._package)


@lru_cache
def sources_digest(package: Path) -> str:
    """A digest of every source file in the folder `package`."""
    digest = hashlib.sha256()
    for path in sorted(package.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _keep_in_memory(_signature: Any, _result: Any) -> None:
    """What saves compiled code where nothing can be saved."""
