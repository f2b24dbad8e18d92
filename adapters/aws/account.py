"""What an AWS account has and allows, asked before anything is put into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from botocore.exceptions import ClientError

from adapters.aws.clients import answering, aws_client, error_code

_ABSENT: Final = {
    "404",
    "ImageNotFoundException",
    "NoSuchBucket",
    "NoSuchKey",
    "NotFound",
    "RepositoryNotFoundException",
}


class CallerIdentity(NamedTuple):
    """Who asks: the account's number, and the caller's ARN."""

    account: str
    arn: str


class ShardRoom(NamedTuple):
    """Kinesis shards of the account in this region: how many there may be, and how many there are."""

    limit: int
    open: int


class Account:
    """One account in one region. Every call raises `Misconfigured` if it is refused, `Unavailable` if AWS is away.

    `clients` (by service) are for tests.
    """

    def __init__(self, region: str, *, clients: Mapping[str, Any] | None = None) -> None:
        self.region = region
        self._clients = dict(clients or {})

    def identity(self) -> CallerIdentity:
        """Who we are to AWS; refused without credentials, or with such as have run out."""
        with answering("AWS STS"):
            answer = self._client("sts").get_caller_identity()
        return CallerIdentity(answer["Account"], answer["Arn"])

    def has_bucket(self, bucket: str) -> bool:
        """Whether there is this bucket, and we may use it."""
        return self._exists("s3", f"S3 bucket {bucket}", "head_bucket", Bucket=bucket)

    def has_object(self, bucket: str, key: str) -> bool:
        """Whether there is this object."""
        return self._exists("s3", f"S3 bucket {bucket}", "head_object", Bucket=bucket, Key=key)

    def has_image(self, repository: str, tag: str) -> bool:
        """Whether the ECR repository of this account has an image with this tag."""
        return self._exists(
            "ecr",
            f"ECR repository {repository}",
            "describe_images",
            repositoryName=repository,
            imageIds=[{"imageTag": tag}],
        )

    def shard_room(self) -> ShardRoom:
        """How many Kinesis shards there may be, and are."""
        with answering("AWS Kinesis"):
            answer = self._client("kinesis").describe_limits()
        return ShardRoom(int(answer["ShardLimit"]), int(answer["OpenShardCount"]))

    def free_concurrency(self) -> int:
        """Lambda executions at once that no function has reserved for itself."""
        with answering("AWS Lambda"):
            answer = self._client("lambda").get_account_settings()
        return int(answer["AccountLimit"]["UnreservedConcurrentExecutions"])

    def sagemaker_quotas(self) -> dict[str, float]:
        """Every quota of SageMaker by its name, for example `ml.m5.large for endpoint usage`."""
        with answering("AWS Service Quotas"):
            pages = (
                self._client("service-quotas").get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker")
            )
            return {quota["QuotaName"]: float(quota["Value"]) for page in pages for quota in page["Quotas"]}

    def _exists(self, service: str, where: str, call: str, **arguments: Any) -> bool:
        with answering(where):
            try:
                getattr(self._client(service), call)(**arguments)
            except ClientError as error:
                if error_code(error) in _ABSENT:
                    return False
                raise
        return True

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = aws_client(service, region=self.region)
        return self._clients[service]
