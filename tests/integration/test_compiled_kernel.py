"""The kernel's machine code: the same bits on any processor, and a start from the cache without compiling."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cardwatch.features
from adapters.runtime.settings import Settings, child_environment

SOURCES = Path(cardwatch.features.__file__).parents[2]

FOLD = """
import hashlib, numpy as np
from cardwatch.features.columns import COLUMNS
from cardwatch.features.kernel import _fold, fold
from cardwatch.features.reference_table import MERCHANT_VALUES, ReferenceTable
from cardwatch.features.state import empty_states
rng = np.random.default_rng(7)
rows = np.zeros(20_000, COLUMNS)
for name in ("transaction_hash", "merchant_hash", "device_hash"):
    rows[name] = rng.integers(0, 300 if name != "transaction_hash" else 2**62, len(rows))
rows["occurred_at_ms"] = 1_700_000_000_000 + np.cumsum(rng.integers(-50_000, 200_000, len(rows)))
rows["amount_minor"] = rng.integers(0, 10**6, len(rows))
rows["latitude"], rows["longitude"] = rng.uniform(-90, 90, len(rows)), rng.uniform(-180, 180, len(rows))
rows["category"], rows["country"] = rng.integers(0, 30, len(rows)), rng.integers(0, 30, len(rows))
rows["channel"], rows["previous_outcome"] = rng.integers(0, 6, len(rows)), rng.integers(0, 3, len(rows))
merchants = np.arange(1, 200, dtype=np.uint64)
values = rng.uniform(0, 9, (len(merchants), len(MERCHANT_VALUES))).astype(np.float32)
table = ReferenceTable.of_merchants(0, merchants, values)
states = empty_states(50)
folded = fold(states, rng.integers(0, 50, len(rows)), rows, table)
print(hashlib.sha256(folded.features.tobytes() + states.tobytes()).hexdigest())
print("compiled", sum(_fold.stats.cache_misses.values()), "loaded", sum(_fold.stats.cache_hits.values()))
"""
NO_WRITING = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
"""
INSPECT = """
from pathlib import Path
for name, texts in (("code.ll", _fold.inspect_llvm()), ("code.s", _fold.inspect_asm())):
    Path(name).write_text(*texts.values())
"""


def folding(code: str, folder: Path, **environment: str) -> list[str]:
    """Return what a new process prints: a digest of features and states, and whether anything was compiled."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=child_environment(Settings(), **environment, PYTHONDONTWRITEBYTECODE="1"),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the kernel compiled for any processor, and its assembly and intermediate code."""
    folder = tmp_path_factory.mktemp("image")
    assert folding(FOLD + INSPECT, folder, **for_any_processor(folder))[1] == "compiled 1 loaded 0"
    return folder


def for_any_processor(folder: Path) -> dict[str, str]:
    return {"NUMBA_CPU_NAME": "generic", "NUMBA_CACHE_DIR": str(folder)}


def test_code_for_any_processor_gives_the_same_bits_from_a_read_only_disk(image: Path) -> None:
    here, _ = folding(FOLD, image)
    assert folding(NO_WRITING + FOLD, image, **for_any_processor(image)) == [here, "compiled 0 loaded 1"]


def test_after_warm_up_nothing_is_compiled(image: Path) -> None:
    warm = "from cardwatch.features import kernel, hashing; from cardwatch.warm_up import warm_kernel; warm_kernel()\n"
    every = (
        "print(*(sum(f.stats.cache_misses.values()) for f in (kernel._fold, hashing._hash_one, hashing._hash_slices)))"
    )
    folding(warm, image, **for_any_processor(image))
    assert folding(NO_WRITING + warm + every, image, **for_any_processor(image)) == ["0 0 0"]


def test_without_a_usable_cache_folder_it_is_compiled_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    measure = "from cardwatch.features.geography import distance_km; print(distance_km(0.0, 0.0, 0.0, 180.0))"
    [found] = folding(measure, tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "file" / "no-folder"))
    assert float(found) == pytest.approx(180 * 111.195, abs=1)


def test_code_compiled_from_another_feature_table_is_not_used(image: Path) -> None:
    folding(FOLD, image)  # so that the cache is copied too
    shutil.copytree(SOURCES / "cardwatch", image / "cardwatch")
    assert folding(FOLD, image)[1] == "compiled 0 loaded 1"
    table = image / "cardwatch" / "features" / "definitions.py"
    lines = table.read_text().splitlines(keepends=True)
    one, other = (next(i for i, line in enumerate(lines) if f'"{name}"' in line) for name in ("amount", "weekday"))
    lines[one], lines[other] = lines[other], lines[one]
    table.write_text("".join(lines))
    assert folding(FOLD, image)[1] == "compiled 1 loaded 0"


def test_the_machine_code_has_no_fused_arithmetic_and_calls_no_mathematics_library(image: Path) -> None:
    assembly, code = (image / "code.s").read_text(), (image / "code.ll").read_text()
    assert re.search(r"\b(v?sqrtsd|fsqrt)\b", assembly)  # otherwise the test would prove nothing
    assert not re.search(r"\bv?fn?m(add|sub)|\bfml[as]\b", assembly)
    called = set(re.findall(r"call [^@\n]*@([\w.]+)\(", code))
    assert called  # the same
    foreign = [name for name in called if "cardwatch" not in name]  # our names may contain "exp" or "log"
    assert foreign
    assert not [name for name in foreign if re.search(r"exp|log|pow|sin|cos|tan|fma", name)]
