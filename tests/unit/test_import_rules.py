"""The exhaustive list of external packages that the core may import, which import-linter cannot express."""

from __future__ import annotations

import sys

import grimp

ALLOWED_IN_THE_CORE = {"cardwatch", "msgspec", "numba", "numpy", "orjson"}


def roots_imported_by(package: str) -> dict[str, set[str]]:
    """Per top-level package that `package` imports the modules that do."""
    graph = grimp.build_graph(package, include_external_packages=True, cache_dir=None)
    roots: dict[str, set[str]] = {}
    for module in graph.find_descendants(package) | {package}:
        for imported in graph.find_modules_directly_imported_by(module):
            roots.setdefault(imported.partition(".")[0], set()).add(module)
    return roots


def test_the_core_imports_the_standard_library_numpy_numba_msgspec_and_orjson_only() -> None:
    imported = roots_imported_by("cardwatch")
    assert imported.keys() >= ALLOWED_IN_THE_CORE  # else the graph would be empty
    others = {root: modules for root, modules in imported.items() if root not in sys.stdlib_module_names}
    assert others.keys() == ALLOWED_IN_THE_CORE, others
