"""Resources and quotas of an AWS account, for checks before a deployment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from botocore.exceptions import ClientError

from adapters.aws.clients import aws_client, error_code, translated_errors

_ABSENT: Final = {
    "404",
    "ImageNotFoundException",
    "NoSuchBucket",
    "NoSuchKey",
    "NotFound",
    "RepositoryNotFoundException",
}


class CallerIdentity(NamedTuple):
    """Account number and ARN of the caller."""

    account: str
    arn: str


class ShardQuota(NamedTuple):
    """Kinesis shards of the account in this region: the quota, and the number in use."""

    limit: int
    open: int


class Account:
    """One account in one region. Every call raises `Misconfigured` if AWS refuses it, `Unavailable` if AWS is down.

    `clients` are clients by service, for tests.
    """

    def __init__(self, region: str, *, clients: Mapping[str, Any] | None = None) -> None:
        self.region = region
        self._clients = dict(clients or {})

    def identity(self) -> CallerIdentity:
        """Return the caller's identity. Raises `Misconfigured` without valid credentials."""
        with translated_errors("AWS STS"):
            identity = self._client("sts").get_caller_identity()
        return CallerIdentity(identity["Account"], identity["Arn"])

    def has_bucket(self, bucket: str) -> bool:
        """Whether the bucket exists and the caller may use it."""
        return self._exists("s3", f"S3 bucket {bucket}", "head_bucket", Bucket=bucket)

    def has_object(self, bucket: str, key: str) -> bool:
        """Whether the object exists."""
        return self._exists("s3", f"S3 bucket {bucket}", "head_object", Bucket=bucket, Key=key)

    def has_image(self, repository: str, tag: str) -> bool:
        """Whether the ECR repository of this account has an image with this tag."""
        where, images = f"ECR repository {repository}", [{"imageTag": tag}]
        return self._exists("ecr", where, "describe_images", repositoryName=repository, imageIds=images)

    def shard_quota(self) -> ShardQuota:
        """Return quota and use of Kinesis shards."""
        with translated_errors("AWS Kinesis"):
            limits = self._client("kinesis").describe_limits()
        return ShardQuota(int(limits["ShardLimit"]), int(limits["OpenShardCount"]))

    def unreserved_concurrency(self) -> int:
        """Return the number of concurrent Lambda executions that no function has reserved."""
        with translated_errors("AWS Lambda"):
            settings = self._client("lambda").get_account_settings()
        return int(settings["AccountLimit"]["UnreservedConcurrentExecutions"])

    def sagemaker_quotas(self) -> dict[str, float]:
        """Return every quota of SageMaker by name, for example `ml.m5.large for endpoint usage`."""
        with translated_errors("AWS Service Quotas"):
            listing = self._client("service-quotas").get_paginator("list_service_quotas")
            pages = listing.paginate(ServiceCode="sagemaker")
            return {quota["QuotaName"]: float(quota["Value"]) for page in pages for quota in page["Quotas"]}

    def _exists(self, service: str, where: str, call: str, **arguments: Any) -> bool:
        with translated_errors(where):
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
