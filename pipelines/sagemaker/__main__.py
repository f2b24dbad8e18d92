"""Retraining on AWS, a process for each step: `python -m pipelines.sagemaker --help`. The environment says what
about."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

from adapters.aws.s3 import Bucket
from adapters.aws.sagemaker_registry import SageMakerRegistry
from adapters.runtime.clock import epoch_ms
from adapters.runtime.jobs import Job, day_of, required, run_job
from adapters.runtime.policy_file import read_policies
from cardwatch.events import from_epoch_ms
from pipelines.sagemaker.execution import Execution
from pipelines.sagemaker.jobs import RetrainingJob, assemble, bootstrap, fit, judge
from pipelines.stages import HOLDOUT_DAYS

MODEL_FOLDER: Final = Path("/opt/ml/model")
"""Where SageMaker expects what a training job has made."""
FIRST: Final = "bootstrap"


def main() -> None:
    """Do one step, or all that makes the first champion."""
    asked = parse_arguments()
    with run_job("pipelines") as job:
        settings = job.settings
        bucket = Bucket(required(settings, "data_bucket"))
        name = settings.execution or (FIRST if asked.step == FIRST else required(settings, "execution"))
        registry = SageMakerRegistry(required(settings, "model_package_group"))
        run = RetrainingJob(Execution(bucket, name), registry, read_policies(settings), job.folder)
        take(asked, job, run)


def parse_arguments() -> Namespace:
    """The command line."""
    parser = ArgumentParser(prog="python -m pipelines.sagemaker")
    steps = parser.add_subparsers(dest="step", required=True)
    steps.add_parser("assemble", help="keep the training set of a day")
    steps.add_parser("fit", help="fit a candidate on it")
    steps.add_parser("judge", help="judge the candidate against the champion")
    first = steps.add_parser(FIRST, help="train the first champion on the archived history, and register it")
    first.add_argument("--image", required=True, help="the scoring image that will serve it")
    first.add_argument("--holdout-days", type=int, default=HOLDOUT_DAYS)
    return parser.parse_args()


def take(asked: Namespace, job: Job, run: RetrainingJob) -> None:
    """Take the step that was asked for."""
    settings = job.settings
    match asked.step:
        case "assemble":
            assemble(run, day_of(settings, from_epoch_ms(int(epoch_ms()))))
        case "fit":
            fit(run, settings.model_folder or MODEL_FOLDER)
        case "judge":
            judge(run)
        case _:
            day = day_of(settings, from_epoch_ms(int(epoch_ms()))) if settings.as_of_day else None
            package = bootstrap(run, day, image=asked.image, holdout_days=asked.holdout_days)
            sys.stdout.write(f"{package.model_url}\n")


if __name__ == "__main__":
    main()
