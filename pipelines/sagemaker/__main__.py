"""Retraining on AWS, one process per step: `python -m pipelines.sagemaker --help`.

Settings come from the environment.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

from adapters.aws.s3 import Bucket
from adapters.aws.sagemaker_registry import SageMakerRegistry
from adapters.runtime.clock import epoch_ms
from adapters.runtime.jobs import day_of, required, run_job
from adapters.runtime.policy_file import read_policies
from adapters.runtime.settings import Settings
from cardwatch.events import from_epoch_ms
from pipelines.sagemaker.execution import ExecutionArtifacts
from pipelines.sagemaker.jobs import RetrainingJob, assemble, bootstrap, fit, judge
from pipelines.steps.training_set import HOLDOUT_DAYS

MODEL_FOLDER: Final = Path("/opt/ml/model")
"""Folder whose content SageMaker stores as the output of a training job."""
FIRST: Final = "bootstrap"


def main() -> None:
    """Run one step, or all steps for the first champion."""
    arguments = parse_arguments()
    with run_job("pipelines") as job:
        settings = job.settings
        bucket = Bucket(required(settings, "data_bucket"))
        name = settings.execution or (FIRST if arguments.step == FIRST else required(settings, "execution"))
        registry = SageMakerRegistry(required(settings, "model_package_group"))
        artifacts = ExecutionArtifacts(bucket, name)
        run_step(arguments, settings, RetrainingJob(artifacts, registry, read_policies(settings), job.folder))


def parse_arguments() -> Namespace:
    """Parse the command line."""
    parser = ArgumentParser(prog="python -m pipelines.sagemaker")
    steps = parser.add_subparsers(dest="step", required=True)
    steps.add_parser("assemble", help="assemble and store the training set of a day")
    steps.add_parser("fit", help="fit a candidate on the training set")
    steps.add_parser("judge", help="compare the candidate with the champion")
    first = steps.add_parser(FIRST, help="train the first champion on the archived history, and register it")
    first.add_argument("--image", required=True, help="URI of the scoring image that serves the model")
    first.add_argument("--holdout-days", type=int, default=HOLDOUT_DAYS)
    return parser.parse_args()


def run_step(arguments: Namespace, settings: Settings, retraining: RetrainingJob) -> None:
    """Run the step that the command line names."""
    today = from_epoch_ms(int(epoch_ms()))
    match arguments.step:
        case "assemble":
            assemble(retraining, day_of(settings, today))
        case "fit":
            fit(retraining, settings.model_folder or MODEL_FOLDER)
        case "judge":
            judge(retraining)
        case _:
            day = day_of(settings, today) if settings.as_of_day else None
            package = bootstrap(retraining, day, image=arguments.image, holdout_days=arguments.holdout_days)
            sys.stdout.write(f"{package.model_url}\n")


if __name__ == "__main__":
    main()
