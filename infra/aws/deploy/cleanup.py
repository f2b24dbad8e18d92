"""What the pipeline has made on AWS and Terraform does not know of: model packages, models, endpoint configurations.

A promotion makes them. A model package group with packages cannot be destroyed, so they go before; models and
configurations go after the endpoint that may still answer with one of them.
"""

from __future__ import annotations

from typing import Any

from adapters.aws.clients import answering, aws_client


def delete_model_packages(group: str, *, region: str | None = None) -> int:
    """Delete every version in a model package group; gives their number."""
    client = aws_client("sagemaker", region=region)
    with answering(f"model package group {group}"):
        found = _all(client, "list_model_packages", "ModelPackageSummaryList", ModelPackageGroupName=group)
        for package in found:
            client.delete_model_package(ModelPackageName=package["ModelPackageArn"])
    return len(found)


def delete_models(prefix: str, *, region: str | None = None) -> int:
    """Delete every endpoint configuration and model whose name begins so; gives their number."""
    client = aws_client("sagemaker", region=region)
    with answering("SageMaker"):
        configs = [each["EndpointConfigName"] for each in _all(client, "list_endpoint_configs", "EndpointConfigs")]
        models = [each["ModelName"] for each in _all(client, "list_models", "Models")]
        gone = [name for name in configs if name.startswith(f"{prefix}-")]
        for name in gone:
            client.delete_endpoint_config(EndpointConfigName=name)
        ours = [name for name in models if name.startswith(f"{prefix}-")]
        for name in ours:
            client.delete_model(ModelName=name)
    return len(gone) + len(ours)


def _all(client: Any, operation: str, key: str, **arguments: str) -> list[dict[str, Any]]:
    pages = client.get_paginator(operation).paginate(**arguments)
    return [each for page in pages for each in page[key]]
