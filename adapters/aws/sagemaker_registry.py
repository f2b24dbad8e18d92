"""The model registry on AWS: a SageMaker model package group, and the models' files in S3.

Every version is a model package. There are no aliases. The champion is the newest approved package whose verdict is
`promoted`, so that approval promotes, and rejection of the champion restores the one before. The challenger is the
newest package in any state.

Tags are stored as the package's metadata if SageMaker accepts them: 50 of at most 256 characters without quotes and
commas. The other tags are stored beside the model (`adapters.aws.object_keys`):

    model.tar.gz   detector and `version.json`, see `adapters.model_registry.model_folder`
    tags.json      tags that SageMaker does not accept
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from adapters.aws.clients import aws_client, translated_errors
from adapters.aws.object_keys import model_key, object_url, parse_object_url
from adapters.aws.s3 import Bucket
from adapters.model_registry.model_folder import pack_model, unpack_model
from cardwatch.errors import CorruptModel, NoChampion, RegistryUnavailable
from cardwatch.registry import CHALLENGER, CHAMPION, ModelVersion, digest_of

APPROVED: Final = "Approved"
PENDING: Final = "PendingManualApproval"
PROMOTED: Final = "promoted"

_EXECUTION: Final = "execution"
_OTHER_TAGS: Final = "other_tags"
_ACCEPTED_TAG: Final = re.compile(r"[\w .:/=+@-]{1,256}")
_JSON: Final = "application/json"


class Package(Struct, frozen=True, kw_only=True):
    """A registered version. `approval` is SageMaker's status, `model_url` the address of the model's archive."""

    arn: str
    approval: str
    model_url: str
    version: ModelVersion


class Registration(Struct, frozen=True, kw_only=True):
    """A version to be registered: the files of a model, its tags with `digest`, and the image that serves it.

    `execution` names the run that created it. There is one version per execution.
    """

    execution: str
    files: dict[str, bytes]
    tags: dict[str, str]
    image: str
    approved: bool


class SageMakerRegistry:
    """The versions in model package group `group`. `client` is for tests.

    Every call raises `RegistryUnavailable` if SageMaker does not answer, `Misconfigured` if it refuses, and
    the errors of `Bucket`.
    """

    def __init__(self, group: str, *, client: Any = None) -> None:
        self._group, self._client = group, client or aws_client("sagemaker")
        self._where = f"model package group {group}"

    def champion(self) -> ModelVersion:
        """Return the champion. Raises `NoChampion` if there is none."""
        return self.champion_package().version

    def champion_package(self) -> Package:
        """Return the champion's package. Raises `NoChampion` if there is none."""
        for found in self._summaries(ModelApprovalStatus=APPROVED):
            package = self.package(found["ModelPackageArn"])
            if package.version.tags.get("verdict") == PROMOTED:
                return package
        raise NoChampion(
            f"{self._where} has no approved package that was promoted: train one with"
            " `python -m pipelines.sagemaker bootstrap`"
        )

    def alias(self, name: str) -> ModelVersion | None:
        """Return the version that is `champion` or `challenger`, None if there is none."""
        if name == CHAMPION:
            try:
                return self.champion()
            except NoChampion:
                return None
        newest = self._first(lambda _found: True) if name == CHALLENGER else None
        return None if newest is None else newest.version

    def version(self, version: str) -> ModelVersion | None:
        """Return a version by its number, None if it does not exist."""
        found = self._numbered(version)
        return None if found is None else found.version

    def files(self, version: ModelVersion) -> dict[str, bytes]:
        """Return the version's files. Raises `CorruptModel` if they do not have the registered digest."""
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
        """Return the package with this ARN."""
        with translated_errors(self._where, RegistryUnavailable):
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
        """Register a version with its files in `bucket`. A repeated call for an execution returns its version.

        1. Store the model with the next version number, and the tags that SageMaker does not accept.
        2. Create the package.
        3. If the package has another number, because a package was deleted, store the model again with that number.

        After an interruption, the next call continues with the step that is missing.
        """
        found = self.find_by_execution(registration.execution)
        if found is None:
            number = int(next((_number(newest) for newest in self._summaries()), "0")) + 1
            self._store_model(bucket, registration, str(number))
            found = self.package(self._create(bucket, registration))
        stored, _ = unpack_model(bucket.get(model_key(registration.execution)))
        if stored.version != found.version.version:
            self._store_model(bucket, registration, found.version.version)
        return found

    def find_by_execution(self, execution: str) -> Package | None:
        """Return the package that an execution has registered, None if there is none."""
        return self._first(lambda found: found.get("ModelPackageDescription") == _description(execution))

    def _store_model(self, bucket: Bucket, registration: Registration, number: str) -> None:
        version = ModelVersion(version=number, run_id=registration.execution, tags=registration.tags)
        bucket.put(model_key(registration.execution), pack_model(version, registration.files))

    def _create(self, bucket: Bucket, registration: Registration) -> str:
        execution = registration.execution
        accepted = {key: value for key, value in registration.tags.items() if _ACCEPTED_TAG.fullmatch(value)}
        if others := {key: value for key, value in registration.tags.items() if key not in accepted}:
            key = model_key(execution, "tags.json")
            bucket.put(key, msgspec.json.format(msgspec.json.encode(others)))
            accepted[_OTHER_TAGS] = object_url(bucket.name, key)
        container = {"Image": registration.image, "ModelDataUrl": object_url(bucket.name, model_key(execution))}
        with translated_errors(self._where, RegistryUnavailable):
            created = self._client.create_model_package(
                ModelPackageGroupName=self._group,
                ModelPackageDescription=_description(execution),
                ModelApprovalStatus=APPROVED if registration.approved else PENDING,
                InferenceSpecification={
                    "Containers": [container],
                    "SupportedContentTypes": [_JSON],
                    "SupportedResponseMIMETypes": [_JSON],
                },
                CustomerMetadataProperties={**accepted, _EXECUTION: execution},
            )
        return str(created["ModelPackageArn"])

    def _numbered(self, number: str) -> Package | None:
        return self._first(lambda found: _number(found) == number)

    def _first(self, is_wanted: Callable[[Mapping[str, Any]], bool]) -> Package | None:
        """Return the newest package whose entry in the listing is wanted, None if there is none."""
        found = next(filter(is_wanted, self._summaries()), None)
        return None if found is None else self.package(found["ModelPackageArn"])

    def _summaries(self, **filters: str) -> Iterator[Mapping[str, Any]]:
        """Yield the entries of the listing of versions, the newest first."""
        listing = {"ModelPackageGroupName": self._group, "SortBy": "CreationTime", "SortOrder": "Descending"}
        with translated_errors(self._where, RegistryUnavailable):
            pages = self._client.get_paginator("list_model_packages").paginate(**listing, **filters)
            found = [each for page in pages for each in page["ModelPackageSummaryList"]]
        yield from sorted(found, key=lambda each: -int(each["ModelPackageVersion"]))


def _description(execution: str) -> str:
    return f"by {execution}"


def _number(found: Mapping[str, Any]) -> str:
    return str(found["ModelPackageVersion"])
