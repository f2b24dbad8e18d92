"""SageMaker: processing and training jobs that really run, as processes on this machine."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.s3.exceptions import MissingBucket
from moto.sagemaker.exceptions import ResourceInUseException
from moto.sagemaker.models import SageMakerModelBackend
from moto.sagemaker.responses import SageMakerResponse

from infra.moto import storage
from infra.moto.added import added
from infra.moto.children import children, environment, program
from infra.moto.images import Disk

_MAX_SECONDS: Final = 86_400

_create_processing_job = SageMakerResponse.create_processing_job
_create_training_job = SageMakerResponse.create_training_job


class JobFailed(Exception):
    """A job that did not complete; the message is its FailureReason."""


@added("sagemaker", "CreateProcessingJob", SageMakerResponse)
def create_processing_job(response: SageMakerResponse) -> ActionResult:
    """moto's jobs are Completed when they are created. Ours run the entry point that their configuration names.

    Inputs are fetched from S3 before, outputs stored after it.
    """
    _require_new(response.sagemaker_backend.processing_jobs, response._get_param("ProcessingJobName"))
    answer = _create_processing_job(response)
    job: Any = response.sagemaker_backend.processing_jobs[response._get_param("ProcessingJobName")]
    job.environment = response._get_param("Environment") or {}
    job.processing_resources = response._get_param("ProcessingResources")
    job.processing_job_status = "InProgress"
    job.processing_start_time = utcnow()
    job.processing_end_time = None
    _in_background(_run_processing, response.sagemaker_backend, job)
    return answer


@added("sagemaker", "CreateTrainingJob", SageMakerResponse)
def create_training_job(response: SageMakerResponse) -> ActionResult:
    """As with processing jobs. What the program leaves in /opt/ml/model becomes the model.tar.gz of the output path.

    Where /opt/ml is, the program is told by the variables of SageMaker's training toolkit: SM_MODEL_DIR,
    SM_OUTPUT_DATA_DIR, SM_CHANNEL_* and SM_HPS.
    """
    _require_new(response.sagemaker_backend.training_jobs, response._get_param("TrainingJobName"))
    answer = _create_training_job(response)
    job: Any = response.sagemaker_backend.training_jobs[response._get_param("TrainingJobName")]
    job.environment = response._get_param("Environment") or {}
    job.training_job_status, job.secondary_status = "InProgress", "Training"
    job.training_end_time = None
    job.final_metric_data_list = None
    _in_background(_run_training, response.sagemaker_backend, job)
    return answer


def _run_processing(backend: SageMakerModelBackend, job: Any) -> None:
    disk = Disk("processing")
    try:
        for given in job.processing_inputs or []:
            source = given["S3Input"]
            [folder] = disk.here([source["LocalPath"]])
            storage.fetch(backend.account_id, source["S3Uri"], Path(folder))
        outputs = [each["S3Output"] for each in (job.processing_output_config or {}).get("Outputs", [])]
        for output in outputs:
            Path(disk.here([output["LocalPath"]])[0]).mkdir(parents=True, exist_ok=True)
        seconds = (job.stopping_condition or {}).get("MaxRuntimeInSeconds", _MAX_SECONDS)
        _run(backend.region_name, disk, job.app_specification, job.environment, seconds)
        for output in outputs:
            storage.store(backend.account_id, Path(disk.here([output["LocalPath"]])[0]), output["S3Uri"])
    except (JobFailed, FileNotFoundError, MissingBucket) as error:
        job.failure_reason = str(error)
        job.processing_job_status = "Failed"
    else:
        job.processing_job_status = "Completed"
    finally:
        job.processing_end_time = job.last_modified_time = utcnow()
        disk.remove()


def _run_training(backend: SageMakerModelBackend, job: Any) -> None:
    disk = Disk("training")
    try:
        variables = _training_variables(backend, job, disk)
        seconds = (job.stopping_condition or {}).get("MaxRuntimeInSeconds", _MAX_SECONDS)
        _run(backend.region_name, disk, job.algorithm_specification, {**variables, **job.environment}, seconds)
        model = storage.pack(disk.ml / "model")
        storage.write(backend.account_id, job.model_artifacts["S3ModelArtifacts"], model)
    except (JobFailed, FileNotFoundError, MissingBucket) as error:
        job.failure_reason = str(error)
        job.training_job_status = job.secondary_status = "Failed"
    else:
        job.training_job_status = job.secondary_status = "Completed"
    finally:
        job.training_end_time = job.last_modified_time = utcnow()
        disk.remove()


def _training_variables(backend: SageMakerModelBackend, job: Any, disk: Disk) -> dict[str, str]:
    model, output = disk.ml / "model", disk.ml / "output" / "data"
    for folder in (model, output):
        folder.mkdir(parents=True)
    variables = {
        "TRAINING_JOB_NAME": job.training_job_name,
        "SM_MODEL_DIR": str(model),
        "CARDWATCH_MODEL_FOLDER": str(model),  # our programs look there, or in /opt/ml/model, which is not ours here
        "SM_OUTPUT_DATA_DIR": str(output),
        "SM_HPS": json.dumps(job.hyper_parameters or {}),
    }
    for channel in job.input_data_config or []:
        folder = disk.ml / "input" / "data" / channel["ChannelName"]
        storage.fetch(backend.account_id, channel["DataSource"]["S3DataSource"]["S3Uri"], folder)
        variables[f"SM_CHANNEL_{channel['ChannelName'].upper()}"] = str(folder)
    return variables


def _run(region: str, disk: Disk, image: Mapping[str, Any], variables: Mapping[str, str], seconds: float) -> None:
    """Run the entry point of a job until it ends; raises `JobFailed` with what it has said last."""
    command = [*(image.get("ContainerEntrypoint") or []), *(image.get("ContainerArguments") or [])]
    if not command:
        raise JobFailed("ClientError: only jobs whose configuration names an entry point are run here")
    with disk.log.open("wb") as log:
        try:
            child = children.start(
                program(disk.here(command)),
                environment(region, disk.variables(variables)),
                output=log,
                folder=disk.root,
            )
        except OSError as error:
            raise JobFailed(f"ClientError: {error}") from error
    try:
        status = child.wait(seconds)
    except subprocess.TimeoutExpired:
        raise JobFailed(f"ClientError: the job took longer than {seconds:g} s") from None
    finally:
        children.stop(child)
    if status != 0:
        file = disk.ml / "output" / "failure"
        said = file.read_text(errors="replace") if file.exists() else disk.last_words()
        raise JobFailed(f"AlgorithmError: exit status {status}: {said}"[:1_024])


def _require_new(jobs: Mapping[str, Any], name: str) -> None:
    if name in jobs:
        raise ResourceInUseException(message=f"Job name must be unique within an AWS account and region: {name}")


def _in_background(work: Any, *arguments: Any) -> None:
    threading.Thread(target=work, args=arguments, daemon=True).start()
