"""A start without garbage collection and without optional modules leaves both as they were. In another process."""

from __future__ import annotations

import subprocess
import sys

BEGIN = """
import gc, sys
from services.scoring.quick_start import OPTIONAL_MODULES, begin_start, end_start, without_collections

def is_hidden(name):
    return name in sys.modules and sys.modules[name] is None
"""


def printed(program: str) -> str:
    command = [sys.executable, "-c", BEGIN + program]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def test_modules_are_hidden_and_nothing_is_collected_until_the_end_of_a_start() -> None:
    program = """
begin_start()
print(gc.isenabled(), [is_hidden(name) for name in OPTIONAL_MODULES])
end_start()
print(gc.isenabled(), gc.get_freeze_count() > 1_000, [is_hidden(name) for name in OPTIONAL_MODULES])
import cffi
"""
    during, after = printed(program).splitlines()
    assert during == "False [True, True, True]"
    assert after == "True True [False, False, False]"


def test_a_module_that_is_used_already_stays() -> None:
    program = "import cffi; begin_start(); end_start(); print(sys.modules['cffi'] is cffi)"
    assert printed(program) == "True"


def test_collections_begin_again_after_an_import() -> None:
    program = """
with without_collections():
    print(gc.isenabled())
print(gc.isenabled(), gc.get_freeze_count() > 1_000)
"""
    assert printed(program).split() == ["False", "True", "True"]
