"""SageMaker: what a group of model packages lacks in moto."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.responses import SageMakerResponse

from infra.moto.added import added


@added("sagemaker", "PutModelPackageGroupPolicy", SageMakerResponse)
def put_model_package_group_policy(response: SageMakerResponse) -> ActionResult:
    """moto does not have it. The policy says who registers and who reads models; it is kept, and nobody obeys it."""
    group = _group(response)
    group.resource_policy = response._get_param("ResourcePolicy")
    return ActionResult({"ModelPackageGroupArn": group.arn})


@added("sagemaker", "GetModelPackageGroupPolicy", SageMakerResponse)
def get_model_package_group_policy(response: SageMakerResponse) -> ActionResult:
    """moto does not have it, and Terraform reads back what it has put."""
    if (policy := getattr(_group(response), "resource_policy", None)) is None:
        raise ValidationError(message="Cannot find Model Package Group Policy")
    return ActionResult({"ResourcePolicy": policy})


@added("sagemaker", "DeleteModelPackageGroupPolicy", SageMakerResponse)
def delete_model_package_group_policy(response: SageMakerResponse) -> ActionResult:
    """moto does not have it, and Terraform destroys what it has put."""
    _group(response).resource_policy = None
    return EmptyResult()


@added("sagemaker", "DeleteModelPackageGroup", SageMakerResponse)
def delete_model_package_group(response: SageMakerResponse) -> ActionResult:
    """moto fails on it. A group that still has packages is not deleted, as on AWS."""
    backend, group = response.sagemaker_backend, _group(response)
    name = group.model_package_group_name
    if any(package.model_package_group_name == name for package in backend.model_packages.values()):
        raise ValidationError(message=f"Model Package Group {group.arn} cannot be deleted: it has model packages.")
    del backend.model_package_groups[name]
    return EmptyResult()


@added("sagemaker", "DeleteModelPackage", SageMakerResponse)
def delete_model_package(response: SageMakerResponse) -> ActionResult:
    """moto does not have it; a group can only be deleted when it is empty."""
    backend = response.sagemaker_backend
    package = backend.describe_model_package(response._get_param("ModelPackageName"))
    del backend.model_packages[package.arn]
    backend.model_package_name_mapping.pop(package.arn, None)
    return EmptyResult()


def _group(response: SageMakerResponse) -> Any:
    return response.sagemaker_backend.describe_model_package_group(response._get_param("ModelPackageGroupName"))
