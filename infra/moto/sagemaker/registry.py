"""The SageMaker model registry: policies and deletion of model package groups and model packages."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.responses import SageMakerResponse

from infra.moto.patching import patch


@patch("sagemaker", "PutModelPackageGroupPolicy", SageMakerResponse)
def put_model_package_group_policy(response: SageMakerResponse) -> ActionResult:
    """moto lacks this call. The policy, which restricts who registers and reads models, is stored but not enforced."""
    group = _group(response)
    group.resource_policy = response._get_param("ResourcePolicy")
    return ActionResult({"ModelPackageGroupArn": group.arn})


@patch("sagemaker", "GetModelPackageGroupPolicy", SageMakerResponse)
def get_model_package_group_policy(response: SageMakerResponse) -> ActionResult:
    """moto lacks this call. Terraform uses it to read the policy of a group."""
    if (policy := getattr(_group(response), "resource_policy", None)) is None:
        raise ValidationError(message="Cannot find Model Package Group Policy")
    return ActionResult({"ResourcePolicy": policy})


@patch("sagemaker", "DeleteModelPackageGroupPolicy", SageMakerResponse)
def delete_model_package_group_policy(response: SageMakerResponse) -> ActionResult:
    """moto lacks this call. Terraform uses it to destroy the policy of a group."""
    _group(response).resource_policy = None
    return EmptyResult()


@patch("sagemaker", "DeleteModelPackageGroup", SageMakerResponse)
def delete_model_package_group(response: SageMakerResponse) -> ActionResult:
    """moto fails at this call. As on AWS, a group that has model packages cannot be deleted."""
    backend, group = response.sagemaker_backend, _group(response)
    name = group.model_package_group_name
    if any(package.model_package_group_name == name for package in backend.model_packages.values()):
        raise ValidationError(message=f"Model Package Group {group.arn} cannot be deleted: it has model packages.")
    del backend.model_package_groups[name]
    return EmptyResult()


@patch("sagemaker", "DeleteModelPackage", SageMakerResponse)
def delete_model_package(response: SageMakerResponse) -> ActionResult:
    """moto lacks this call. A group can only be deleted when it is empty."""
    backend = response.sagemaker_backend
    package = backend.describe_model_package(response._get_param("ModelPackageName"))
    del backend.model_packages[package.arn]
    backend.model_package_name_mapping.pop(package.arn, None)
    return EmptyResult()


def _group(response: SageMakerResponse) -> Any:
    return response.sagemaker_backend.describe_model_package_group(response._get_param("ModelPackageGroupName"))
