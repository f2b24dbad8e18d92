"""SageMaker processing and training jobs, run as processes of this machine."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.s3.exceptions import MissingBucket
from moto.sagemaker.exceptions import ResourceInUseException
from moto.sagemaker.models import SageMakerModelBackend
from moto.sagemaker.responses import SageMakerResponse

from infra.moto import s3
from infra.moto.container_images import ContainerDisk
from infra.moto.patching import patch
from infra.moto.processes import environment, local_command, process_groups

_MAX_SECONDS: Final = 86_400
"""Time limit of a job without a stopping condition, as on SageMaker."""

Run = Callable[[SageMakerModelBackend, Any, ContainerDisk], None]
"""Runs a job to its end, with a disk. Raises `JobFailed`."""

_create_processing_job = SageMakerResponse.create_processing_job
_create_training_job = SageMakerResponse.create_training_job


class JobFailed(Exception):
    """A job that did not complete. The message is its FailureReason."""


@patch("sagemaker", "CreateProcessingJob", SageMakerResponse)
def create_processing_job(response: SageMakerResponse) -> ActionResult:
    """moto's jobs are Completed as soon as they are created. Ours run the entry point of their configuration.

    Inputs are downloaded from S3 before, outputs are uploaded after it.
    """
    _require_new(response.sagemaker_backend.processing_jobs, response._get_param("ProcessingJobName"))
    action_result = _create_processing_job(response)
    job: Any = response.sagemaker_backend.processing_jobs[response._get_param("ProcessingJobName")]
    job.environment = response._get_param("Environment") or {}
    job.processing_resources = response._get_param("ProcessingResources")
    job.processing_job_status = "InProgress"
    job.processing_start_time = utcnow()
    job.processing_end_time = None
    _run_in_background("processing", _run_processing, response.sagemaker_backend, job)
    return action_result


@patch("sagemaker", "CreateTrainingJob", SageMakerResponse)
def create_training_job(response: SageMakerResponse) -> ActionResult:
    """moto's jobs are Completed as soon as they are created. Ours run; /opt/ml/model becomes the model.tar.gz in S3.

    The program finds the folders in the variables of SageMaker's training toolkit: SM_MODEL_DIR, SM_OUTPUT_DATA_DIR,
    SM_CHANNEL_* and SM_HPS.
    """
    _require_new(response.sagemaker_backend.training_jobs, response._get_param("TrainingJobName"))
    action_result = _create_training_job(response)
    job: Any = response.sagemaker_backend.training_jobs[response._get_param("TrainingJobName")]
    job.environment = response._get_param("Environment") or {}
    job.training_job_status, job.secondary_status = "InProgress", "Training"
    job.training_end_time = None
    job.final_metric_data_list = None
    _run_in_background("training", _run_training, response.sagemaker_backend, job)
    return action_result


def _run_processing(backend: SageMakerModelBackend, job: Any, disk: ContainerDisk) -> None:
    for processing_input in job.processing_inputs or []:
        source = processing_input["S3Input"]
        s3.download(backend.account_id, source["S3Uri"], Path(disk.local_path(source["LocalPath"])))
    configured = [each["S3Output"] for each in (job.processing_output_config or {}).get("Outputs", [])]
    outputs = [(Path(disk.local_path(output["LocalPath"])), output["S3Uri"]) for output in configured]
    for folder, _uri in outputs:
        folder.mkdir(parents=True, exist_ok=True)
    _run(backend.region_name, disk, job.app_specification, job.environment, job.stopping_condition)
    for folder, uri in outputs:
        s3.upload(backend.account_id, folder, uri)


def _run_training(backend: SageMakerModelBackend, job: Any, disk: ContainerDisk) -> None:
    variables = {**_training_variables(backend, job, disk), **job.environment}
    _run(backend.region_name, disk, job.algorithm_specification, variables, job.stopping_condition)
    s3.write(backend.account_id, job.model_artifacts["S3ModelArtifacts"], s3.pack(disk.ml / "model"))


def _run_in_background(kind: str, run: Run, backend: SageMakerModelBackend, job: Any) -> None:
    """Run a job in a thread, and set its status, end time and failure reason. `kind` is processing or training."""

    def work() -> None:
        disk = ContainerDisk(kind)
        status = "Failed"
        try:
            run(backend, job, disk)
            status = "Completed"
        except (JobFailed, FileNotFoundError, MissingBucket) as error:
            job.failure_reason = str(error)
        finally:
            if kind == "training":
                job.secondary_status = status
            setattr(job, f"{kind}_job_status", status)
            setattr(job, f"{kind}_end_time", utcnow())
            job.last_modified_time = utcnow()
            disk.remove()

    threading.Thread(target=work, daemon=True).start()


def _training_variables(backend: SageMakerModelBackend, job: Any, disk: ContainerDisk) -> dict[str, str]:
    model, output = disk.ml / "model", disk.ml / "output" / "data"
    for folder in (model, output):
        folder.mkdir(parents=True)
    variables = {
        "TRAINING_JOB_NAME": job.training_job_name,
        "SM_MODEL_DIR": str(model),
        "CARDWATCH_MODEL_FOLDER": str(model),  # our programs write there; /opt/ml/model is the default
        "SM_OUTPUT_DATA_DIR": str(output),
        "SM_HPS": json.dumps(job.hyper_parameters or {}),
    }
    for channel in job.input_data_config or []:
        folder = disk.ml / "input" / "data" / channel["ChannelName"]
        s3.download(backend.account_id, channel["DataSource"]["S3DataSource"]["S3Uri"], folder)
        variables[f"SM_CHANNEL_{channel['ChannelName'].upper()}"] = str(folder)
    return variables


def _run(
    region: str, disk: ContainerDisk, image: Mapping[str, Any], variables: Mapping[str, str], stopping: Any
) -> None:
    """Run the entry point of a job until it exits. Raises `JobFailed` with the end of its output.

    `stopping` is the job's StoppingCondition, or None.
    """
    seconds = (stopping or {}).get("MaxRuntimeInSeconds", _MAX_SECONDS)
    command = [*(image.get("ContainerEntrypoint") or []), *(image.get("ContainerArguments") or [])]
    if not command:
        raise JobFailed("ClientError: only jobs with an entry point in their configuration can be run here")
    with disk.log.open("wb") as log:
        try:
            process = process_groups.start(
                local_command([disk.local_path(argument) for argument in command]),
                environment(region, disk.local_variables(variables)),
                output=log,
                folder=disk.root,
            )
        except OSError as error:
            raise JobFailed(f"ClientError: {error}") from error
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise JobFailed(f"ClientError: the job took longer than {seconds:g} s") from None
    finally:
        process_groups.stop(process)
    if status != 0:
        file = disk.ml / "output" / "failure"
        output = file.read_text(errors="replace") if file.exists() else disk.log_tail()
        raise JobFailed(f"AlgorithmError: exit status {status}: {output}"[:1_024])


def _require_new(jobs: Mapping[str, Any], name: str) -> None:
    if name in jobs:
        raise ResourceInUseException(message=f"Job name must be unique within an AWS account and region: {name}")
