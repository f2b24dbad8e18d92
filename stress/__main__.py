"""The stress test as a process: `python -m stress FOLDER PROCESSES RUN`, which `cardwatch stress` starts.

RUN is a `stress.runner.StressRun` as JSON. It prints a line for each world that has ended, then the tables, and writes
them to FOLDER.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import msgspec

from adapters.runtime.files import write_atomically
from adapters.runtime.policy_file import read_policies
from adapters.runtime.settings import read_settings
from cardwatch.errors import CardwatchError
from stress.outcome import WorldOutcome
from stress.report import report
from stress.runner import StressRun, results, run_missing
from stress.scenarios import ONSET_DAY

REPORT_FILE = "stress.md"


def main() -> None:
    """Run what is missing."""
    logging.basicConfig(level=logging.ERROR)
    folder, processes, encoded = sys.argv[1:]
    try:
        run(Path(folder), int(processes), msgspec.json.decode(encoded, type=StressRun))
    except CardwatchError as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on from here")


def run(folder: Path, processes: int, wanted: StressRun) -> None:
    """Run the worlds whose results are missing in `folder`, and report on all that are wanted."""
    policies = read_policies(read_settings())
    total = len(wanted.seeds) * len(wanted.scenarios)
    done = len(results(folder, wanted))
    if done:
        print(f"{done} of {total} worlds are there already", flush=True)
    for outcome in run_missing(folder, wanted, policies, processes=processes):
        done += 1
        print(f"{done:4} of {total}  {line(outcome)}", flush=True)
    text = report(results(folder, wanted), policies.drift)
    write_atomically(folder / REPORT_FILE, text.encode())
    print(f"\n{text}")


def line(outcome: WorldOutcome) -> str:
    """Return what happened in one world, in one line; days count from the onset as 0."""
    said = []
    if outcome.found_on is not None:
        said.append(f"found on day {outcome.found_on - ONSET_DAY} ({', '.join(outcome.found_columns)})")
    if outcome.detected_on is not None:
        said.append(f"decay detected on day {outcome.detected_on - ONSET_DAY}")
    for retraining in outcome.retrainings:
        verdict = "harmful promotion" if retraining.is_harmful else "promoted" if retraining.promoted else "refused"
        said.append(f"{verdict} on day {retraining.day - ONSET_DAY}")
    if outcome.regained is not None and outcome.regained.share is not None:
        said.append(f"{outcome.regained.share:.0%} of what hindsight saves")
    return f"seed {outcome.seed}, {outcome.scenario}: {'; '.join(said) or 'nothing happened'}"


if __name__ == "__main__":
    main()
