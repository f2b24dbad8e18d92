"""The model registry on AWS: a SageMaker model package group, and the models' files in S3.

Every version is a model package. The champion is the newest one that is approved and whose verdict is `promoted`: there
is no alias to be moved, so registering and approving is promoting, and to reject a package brings the one before back.
The challenger is the newest package, whatever became of it.

A version's tags are its metadata, as far as SageMaker takes them: 50 of at most 256 characters, no quotes and commas
among them. The others lie beside the model:

    models/EXECUTION/model.tar.gz   detector and `version.json`, see `adapters.model_registry.model_folder`
    models/EXECUTION/tags.json      the tags that SageMaker does not take
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from adapters.aws.clients import answering, aws_client
from adapters.aws.object_keys import model_key, object_url, parse_object_url
from adapters.aws.s3 import Bucket
from adapters.model_registry.model_folder import pack_model, unpack_model
from cardwatch.detector.detector import digest_of
from cardwatch.errors import CorruptModel, NoChampion, RegistryUnavailable
from cardwatch.registry import CHALLENGER, CHAMPION, ModelVersion

APPROVED: Final = "Approved"
PENDING: Final = "PendingManualApproval"
PROMOTED: Final = "promoted"

_EXECUTION: Final = "execution"
_OTHER_TAGS: Final = "other_tags"
_TAKEN: Final = re.compile(r"[\w .:/=+@-]{1,256}")
_JSON: Final = "application/json"


class Package(Struct, frozen=True, kw_only=True):
    """A version as it is registered. `approval` is SageMaker's word, `model_url` says where the model's files are."""

    arn: str
    approval: str
    model_url: str
    version: ModelVersion


class Registration(Struct, frozen=True, kw_only=True):
    """What is to be registered: the files of a model, its tags (`digest` among them), and the image that serves it.

    `execution` names the run that made it; there is one version for each.
    """

    execution: str
    files: dict[str, bytes]
    tags: dict[str, str]
    image: str
    approved: bool


class SageMakerRegistry:
    """The versions in model package group `group`. `client` is for tests.

    Every call raises `RegistryUnavailable` if SageMaker does not answer, `Misconfigured` if it refuses, and what a
    `Bucket` raises.
    """

    def __init__(self, group: str, *, client: Any = None) -> None:
        self._group, self._client = group, client or aws_client("sagemaker")
        self._where = f"model package group {group}"

    def champion(self) -> ModelVersion:
        """The champion; raises `NoChampion` if there is none."""
        return self.champion_package().version

    def champion_package(self) -> Package:
        """The champion with all that is registered of it; raises `NoChampion` if there is none."""
        for found in self._summaries(ModelApprovalStatus=APPROVED):
            package = self.package(found["ModelPackageArn"])
            if package.version.tags.get("verdict") == PROMOTED:
                return package
        raise NoChampion(
            f"{self._where} has no approved package that was promoted: train one with"
            " `python -m pipelines.sagemaker bootstrap`"
        )

    def alias(self, name: str) -> ModelVersion | None:
        """The version that is `champion` or `challenger`, None if there is none."""
        if name == CHAMPION:
            try:
                return self.champion()
            except NoChampion:
                return None
        newest = next(self._summaries(), None) if name == CHALLENGER else None
        return None if newest is None else self.package(newest["ModelPackageArn"]).version

    def version(self, version: str) -> ModelVersion | None:
        """A version by its number, None if it does not exist."""
        found = self._numbered(version)
        return None if found is None else found.version

    def files(self, version: ModelVersion) -> dict[str, bytes]:
        """The version's files; raises `CorruptModel` if they do not have the digest that was registered."""
        package = self._numbered(version.version)
        if package is None:
            raise CorruptModel(f"{self._where} no longer has version {version.version}")
        bucket, key = parse_object_url(package.model_url)
        _, files = unpack_model(Bucket(bucket).get(key))
        if (found := digest_of(files)) != version.digest:
            raise CorruptModel(
                f"version {version.version} of {self._where} has digest {found}, {version.digest or 'none'} was"
                " registered: its files were changed after that"
            )
        return files

    def package(self, arn: str) -> Package:
        """A version by its ARN."""
        with answering(self._where, RegistryUnavailable):
            found = self._client.describe_model_package(ModelPackageName=arn)
        metadata = found.get("CustomerMetadataProperties", {})
        tags = {key: value for key, value in metadata.items() if key not in (_EXECUTION, _OTHER_TAGS)}
        if url := metadata.get(_OTHER_TAGS):
            bucket, key = parse_object_url(url)
            tags |= msgspec.json.decode(Bucket(bucket).get(key), type=dict[str, str])
        return Package(
            arn=arn,
            approval=found["ModelApprovalStatus"],
            model_url=found["InferenceSpecification"]["Containers"][0]["ModelDataUrl"],
            version=ModelVersion(version=_number(found), run_id=metadata.get(_EXECUTION, ""), tags=tags),
        )

    def register(self, bucket: Bucket, registration: Registration) -> Package:
        """Register a version, its files in `bucket`; the same execution again finds the version that it has.

        1. Store the model under the number that is next, and the tags that SageMaker does not take;
        2. create the package;
        3. if it has got another number, because one was deleted, store the model again under that.

        Killed between any two, or before the caller heard of it: the next call goes on from there.
        """
        found = self.of_execution(registration.execution)
        if found is None:
            number = int(next((_number(newest) for newest in self._summaries()), "0")) + 1
            self._store_model(bucket, registration, str(number))
            found = self.package(self._create(bucket, registration))
        stored, _ = unpack_model(bucket.get(model_key(registration.execution)))
        if stored.version != found.version.version:
            self._store_model(bucket, registration, found.version.version)
        return found

    def of_execution(self, execution: str) -> Package | None:
        """The version that an execution has registered."""
        arns = (
            found["ModelPackageArn"]
            for found in self._summaries()
            if found.get("ModelPackageDescription") == _description(execution)
        )
        arn = next(arns, None)
        return None if arn is None else self.package(arn)

    def _store_model(self, bucket: Bucket, registration: Registration, number: str) -> None:
        version = ModelVersion(version=number, run_id=registration.execution, tags=registration.tags)
        bucket.put(model_key(registration.execution), pack_model(version, registration.files))

    def _create(self, bucket: Bucket, registration: Registration) -> str:
        execution = registration.execution
        taken = {key: value for key, value in registration.tags.items() if _TAKEN.fullmatch(value)}
        if others := {key: value for key, value in registration.tags.items() if key not in taken}:
            key = model_key(execution, "tags.json")
            bucket.put(key, msgspec.json.format(msgspec.json.encode(others)))
            taken[_OTHER_TAGS] = object_url(bucket.name, key)
        container = {
            "Image": registration.image,
            "ModelDataUrl": object_url(bucket.name, model_key(execution)),
        }
        with answering(self._where, RegistryUnavailable):
            created = self._client.create_model_package(
                ModelPackageGroupName=self._group,
                ModelPackageDescription=_description(execution),
                ModelApprovalStatus=APPROVED if registration.approved else PENDING,
                InferenceSpecification={
                    "Containers": [container],
                    "SupportedContentTypes": [_JSON],
                    "SupportedResponseMIMETypes": [_JSON],
                },
                CustomerMetadataProperties={**taken, _EXECUTION: execution},
            )
        return str(created["ModelPackageArn"])

    def _numbered(self, number: str) -> Package | None:
        arns = (found["ModelPackageArn"] for found in self._summaries() if _number(found) == number)
        arn = next(arns, None)
        return None if arn is None else self.package(arn)

    def _summaries(self, **only: str) -> Iterator[Mapping[str, Any]]:
        """What a listing tells of the versions, the newest first."""
        listing = {"ModelPackageGroupName": self._group, "SortBy": "CreationTime", "SortOrder": "Descending"}
        with answering(self._where, RegistryUnavailable):
            pages = self._client.get_paginator("list_model_packages").paginate(**listing, **only)
            found = [each for page in pages for each in page["ModelPackageSummaryList"]]
        yield from sorted(found, key=lambda each: -int(each["ModelPackageVersion"]))


def _description(execution: str) -> str:
    return f"by {execution}"


def _number(found: Mapping[str, Any]) -> str:
    return str(found["ModelPackageVersion"])
