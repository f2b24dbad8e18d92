"""Deletion of resources that promotions created and Terraform does not manage.

They are model packages, models and endpoint configurations. A model package group that has packages cannot be
destroyed, so packages are deleted before `terraform destroy`. Models and endpoint configurations are deleted after
it, because the endpoint may still use them.
"""

from __future__ import annotations

from typing import Any

from adapters.aws.clients import aws_client, translated_errors


def delete_model_packages(group: str, *, region: str | None = None) -> int:
    """Delete every version in a model package group and return their number."""
    client = aws_client("sagemaker", region=region)
    with translated_errors(f"model package group {group}"):
        packages = _listed(
            client, "list_model_packages", "ModelPackageSummaryList", "ModelPackageArn", ModelPackageGroupName=group
        )
        for arn in packages:
            client.delete_model_package(ModelPackageName=arn)
    return len(packages)


def delete_models(prefix: str, *, region: str | None = None) -> None:
    """Delete every endpoint configuration and model whose name begins with `prefix` and a hyphen."""
    client = aws_client("sagemaker", region=region)
    with translated_errors("SageMaker"):
        configs = _listed(client, "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName")
        models = _listed(client, "list_models", "Models", "ModelName")
        for name in configs:
            if name.startswith(f"{prefix}-"):
                client.delete_endpoint_config(EndpointConfigName=name)
        for name in models:
            if name.startswith(f"{prefix}-"):
                client.delete_model(ModelName=name)


def _listed(client: Any, operation: str, key: str, field: str, **arguments: str) -> list[str]:
    pages = client.get_paginator(operation).paginate(**arguments)
    return [each[field] for page in pages for each in page[key]]
