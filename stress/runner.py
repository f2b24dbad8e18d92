"""Many worlds on all cores: which are missing in a folder, their results, and progress."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, as_completed, wait
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from msgspec import structs

from adapters.runtime.files import write_atomically
from adapters.runtime.policy_file import Policies
from cardwatch.errors import Misconfigured
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.simulation.settings import SimulationSettings
from stress.harm import HeldRows, HeldWorld, load, save
from stress.loop import MonitoredLoop
from stress.outcome import HARM_DAYS, WorldOutcome, outcome_of
from stress.scenarios import HISTORY_DAYS, LIVE_DAYS, ONSET_DAY, SCENARIOS, StressScenario

HELD_SEED: Final = 990_001
"""Seed of the worlds on which true costs are measured. No loop runs in them."""
CARDS_RATIO: Final = 10
"""How many times as many cards they have."""
CALM: Final = SCENARIOS[0]
SETTINGS_FILE: Final = "settings.json"
POLL_SECONDS: Final = 1.0


class StressRun(msgspec.Struct, frozen=True, kw_only=True):
    """What is run: `scenarios` by name on each of the `seeds`, in worlds with `cards` cards."""

    seeds: list[int]
    scenarios: list[str]
    cards: int


class _Job(NamedTuple):
    folder: Path
    policies: Policies
    cards: int
    seed: int
    scenarios: Sequence[StressScenario]


def run_missing(folder: Path, run: StressRun, policies: Policies, *, processes: int) -> Iterator[WorldOutcome]:
    """Run the worlds of `run` whose results are not in `folder`, and yield each result when it is there.

    An interrupted run goes on where it ended. Raises `Misconfigured` if the folder holds results of other settings.
    """
    _require_same_settings(folder, policies, run.cards)
    chosen = [scenario for scenario in SCENARIOS if scenario.name in run.scenarios]
    jobs = [
        _Job(folder, policies, run.cards, seed, missing)
        for seed in run.seeds
        if (missing := [one for one in chosen if not _result_path(folder, seed, one).exists()])
    ]
    # Each process starts a new interpreter: forked threads of numerical libraries would hang.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        needed = [one for one in dict.fromkeys([CALM, *chosen]) if not _held_path(folder, one, run.cards).exists()]
        parts = [needed[start::processes] for start in range(processes)] if jobs else []
        for future in as_completed([pool.submit(_hold, folder, part, run.cards) for part in parts if part]):
            future.result()
        waiting = {pool.submit(_run_seed, job) for job in jobs}
        awaited = [_result_path(folder, job.seed, scenario) for job in jobs for scenario in job.scenarios]
        while awaited:
            ended, waiting = wait(waiting, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            for future in ended:
                future.result()  # raises what ended a process
            there = [path for path in awaited if path.exists()]
            awaited = [path for path in awaited if path not in there]
            yield from map(read_result, there)


def results(folder: Path, run: StressRun) -> list[WorldOutcome]:
    """Return the results of `run` that are in `folder`."""
    chosen = [scenario for scenario in SCENARIOS if scenario.name in run.scenarios]
    paths = [_result_path(folder, seed, scenario) for scenario in chosen for seed in run.seeds]
    return [read_result(path) for path in paths if path.exists()]


def read_result(path: Path) -> WorldOutcome:
    """Read the result of one world."""
    return msgspec.json.decode(path.read_bytes(), type=WorldOutcome)


def _run_seed(job: _Job) -> None:
    """Run the scenarios of one seed, which share all days before the onset, and write their results."""
    for reacts in (False, True):
        scenarios = [scenario for scenario in job.scenarios if scenario.reacting_fraudsters is reacts]
        if not scenarios:
            continue
        shared = MonitoredLoop(scenarios[0].before_onset(job.seed, job.cards), job.policies)
        shared.train_first_champion(HISTORY_DAYS)
        for _ in range(ONSET_DAY - HISTORY_DAYS):
            shared.run_live_day()
        for scenario in scenarios:
            outcome = _run(shared, scenario, job)
            write_atomically(_result_path(job.folder, job.seed, scenario), msgspec.json.encode(outcome))


def _run(shared: MonitoredLoop, scenario: StressScenario, job: _Job) -> WorldOutcome:
    start = time.process_time()
    loop = shared.branch(scenario.settings(job.seed, job.cards))
    if scenario.no_labels:
        loop.world.stop_labels()
    for _ in range(HISTORY_DAYS + LIVE_DAYS - ONSET_DAY):
        loop.run_live_day()
    seconds = time.process_time() - start
    held, calm = (_held_rows(_held_path(job.folder, one, job.cards)) for one in (scenario, CALM))
    return outcome_of(loop, scenario, job.seed, held, calm, seconds)


def _hold(folder: Path, scenarios: Iterable[StressScenario], cards: int) -> None:
    """Simulate the worlds of true costs. Scenarios share all days before the onset."""
    calm = HeldWorld(CALM.settings(HELD_SEED, CARDS_RATIO * cards), Policies().drift.maturity_days)
    calm.run_until(ONSET_DAY, first_held_day=ONSET_DAY)
    for scenario in scenarios:
        path = _held_path(folder, scenario, cards)
        if path.exists():
            continue
        world = calm.branch(_held_settings(scenario, cards))
        world.run_until(HISTORY_DAYS + LIVE_DAYS + HARM_DAYS, first_held_day=ONSET_DAY)
        save(world.rows(), path)


@lru_cache(maxsize=2)
def _held_rows(path: Path) -> HeldRows:
    return load(path)


def _held_settings(scenario: StressScenario, cards: int) -> SimulationSettings:
    return structs.replace(CALM.settings(HELD_SEED, CARDS_RATIO * cards), timeline=scenario.events)


def _held_path(folder: Path, scenario: StressScenario, cards: int) -> Path:
    content = msgspec.json.encode([_held_settings(scenario, cards), SCHEMA_HASH, HISTORY_DAYS, LIVE_DAYS, ONSET_DAY])
    return folder / "held" / f"{hashlib.sha256(content).hexdigest()[:16]}.npz"


def _result_path(folder: Path, seed: int, scenario: StressScenario) -> Path:
    return folder / "results" / f"{seed:06d}" / f"{scenario.name}.json"


def _require_same_settings(folder: Path, policies: Policies, cards: int) -> None:
    path = folder / SETTINGS_FILE
    settings = msgspec.json.format(
        msgspec.json.encode({"cards": cards, "policies": policies, "schema_hash": SCHEMA_HASH})
    )
    if not path.exists():
        write_atomically(path, settings)
    elif path.read_bytes() != settings:
        raise Misconfigured(
            f"{folder} holds results of another policy, number of cards or feature schema, see {path.name}: "
            "name another folder, or delete this one"
        )
