"""The register of patches, and the patched calls of S3 and of the model registry."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

Client = Callable[[str], Any]
NewName = Callable[[str], str]


def test_every_patch_of_moto_has_a_reason() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # what moto imports has some
        from infra.moto.extension import EXTENSIONS  # noqa: PLC0415
    assert len(EXTENSIONS) > 20
    assert not [f"{each.service} {each.call}" for each in EXTENSIONS if len(each.reason) < 20]
    assert not [f"{each.owner} {each.name}" for each in EXTENSIONS if not each.name]


def test_a_bucket_policy_against_calls_without_tls_lets_calls_through(client: Client, new_name: NewName) -> None:
    s3, name = client("s3"), new_name("bucket")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
    s3.put_object(Bucket=name, Key="a", Body=b"a")
    assert s3.get_object(Bucket=name, Key="a")["Body"].read() == b"a"


def test_a_bucket_that_was_versioned_once_can_be_emptied(client: Client, new_name: NewName) -> None:
    s3, name = client("s3"), new_name("bucket")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=name, Key="a", Body=b"a")
    s3.delete_object(Bucket=name, Key="a")
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"})
    found = s3.list_object_versions(Bucket=name)
    for each in [*found["Versions"], *found["DeleteMarkers"]]:
        s3.delete_objects(Bucket=name, Delete={"Objects": [{"Key": each["Key"], "VersionId": each["VersionId"]}]})
    s3.delete_bucket(Bucket=name)


def test_a_group_of_model_packages_keeps_its_policy_and_is_deleted_when_it_is_empty(
    models: Any, new_name: NewName
) -> None:
    sagemaker, group = models.sagemaker, new_name("group")
    sagemaker.create_model_package_group(ModelPackageGroupName=group)
    sagemaker.put_model_package_group_policy(ModelPackageGroupName=group, ResourcePolicy='{"Statement": []}')
    assert sagemaker.get_model_package_group_policy(ModelPackageGroupName=group)["ResourcePolicy"]
    package = sagemaker.create_model_package(ModelPackageGroupName=group, ModelApprovalStatus="Approved")
    with pytest.raises(ClientError, match="it has model packages"):
        sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    sagemaker.delete_model_package(ModelPackageName=package["ModelPackageArn"])
    sagemaker.delete_model_package_group_policy(ModelPackageGroupName=group)
    sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    with pytest.raises(ClientError, match="does not exist"):
        sagemaker.describe_model_package_group(ModelPackageGroupName=group)
