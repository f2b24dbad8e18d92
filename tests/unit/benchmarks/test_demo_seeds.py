"""The demo on several seeds: its table."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from benchmarks.demo_seeds import HELD_OUT_SEEDS, SeedRun, markdown

ROOT = Path(__file__).parents[3]

CLOSED = SeedRun(
    seed=31,
    closed=True,
    failed=[],
    average_precision=[0.8, 0.2, 0.5],
    days_to_detection=8,
    days_to_promotion=5,
)


def run(seed: int, precisions: list[float | None], detection: int | None, promotion: int | None) -> SeedRun:
    return SeedRun(
        seed=seed,
        closed=False,
        failed=["no challenger was promoted"],
        average_precision=precisions,
        days_to_detection=detection,
        days_to_promotion=promotion,
    )


def test_the_regained_share_is_that_of_what_the_change_cost() -> None:
    assert CLOSED.regained == pytest.approx(0.5)
    assert run(1, [0.8, 0.2, 0.9], 8, 5).regained == pytest.approx(7 / 6)
    assert run(1, [0.8, 0.2, None], 8, None).regained is None
    assert run(1, [0.2, 0.2, 0.3], 8, 5).regained is None  # the change cost nothing


def test_the_table_has_a_line_per_seed_and_means_of_what_there_is() -> None:
    lines = markdown([CLOSED, run(32, [0.8, 0.2, 0.6], 10, 5), run(33, [0.7, 0.5, None], None, None)]).splitlines()
    assert lines[2:5] == [
        "| 31 | yes | 0.800 | 0.200 | 0.500 | 8 | 5 | 0.50 |",
        "| 32 | no | 0.800 | 0.200 | 0.600 | 10 | 5 | 0.67 |",
        "| 33 | no | 0.700 | 0.500 | - | - | - | - |",
    ]
    # Wilson for 1 of 3. Detection: mean 9, standard error 1, and Student's factor is 12.706.
    assert lines[5].startswith(
        "| all | 1 of 3 (0.06 to 0.79) |  |  |  | 9.0 (-3.7 to 21.7) | 5.0 (5.0 to 5.0) | 0.58 ("
    )


def test_the_documentation_shows_the_measured_figures() -> None:
    runs = msgspec.json.decode((ROOT / "benchmarks" / "results" / "demo_seeds.json").read_bytes(), type=list[SeedRun])
    assert [run.seed for run in runs] == list(HELD_OUT_SEEDS)
    assert markdown(runs) in (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8")
