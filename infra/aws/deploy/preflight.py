"""Checks of an account before an environment is deployed: what is missing, and the remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property, partial

from msgspec import Struct

from adapters.aws.account import Account
from adapters.aws.object_keys import parse_object_url
from cardwatch.errors import CardwatchError
from infra.aws.cost.sizing import ON_DEMAND_SHARDS, size_of
from infra.aws.environments import Environment

STATE_BUCKET, IMAGE, MODEL = "state bucket", "image", "model"
"""Checks of what a first deployment creates or requests from its user; `cardwatch aws deploy` runs them later."""


class CheckResult(Struct, frozen=True):
    """Result of one check. `remedy` is empty if the check passed."""

    name: str
    found: str
    remedy: str = ""

    @property
    def ok(self) -> bool:
        """Whether the check passed."""
        return not self.remedy


class Preflight:
    """The checks of one environment.

    `terraform_version` returns Terraform's version, or raises `Misconfigured` with instructions for installing it.
    """

    def __init__(
        self, environment: Environment, account: Account, terraform_version: Callable[[], str], image_tag: str
    ) -> None:
        self._environment, self._account, self._image_tag = environment, account, image_tag
        self._terraform_version = terraform_version

    def results(self) -> Iterator[CheckResult]:
        """Run all checks one after the other; without credentials, only those that need none."""
        yield _run("terraform", lambda: CheckResult("terraform", self._terraform_version()))
        credentials = _run("credentials", self._credentials)
        yield credentials
        if not credentials.ok:
            return
        for name, required in self._instances().items():
            yield _run(f"quota: {name}", partial(self._instance_quota, name, required))
        yield _run("quota: Kinesis shards", self._shards)
        yield _run("quota: Lambda concurrency", self._concurrency)
        yield _run(STATE_BUCKET, self._state)
        yield from self.images()
        yield self.model()

    def images(self) -> Iterator[CheckResult]:
        """Check that each image has been pushed under the tag."""
        for part, repository in self._environment.repositories().items():
            yield _run(f"{IMAGE} {part}", partial(self._image, part, repository))

    def model(self) -> CheckResult:
        """Check that the first champion is at the URL of the environment."""
        return _run(MODEL, self._model)

    def _credentials(self) -> CheckResult:
        identity = self._account.identity()
        return CheckResult("credentials", f"{identity.arn}, account {identity.account}, in {self._account.region}")

    def _instances(self) -> dict[str, int]:
        """Return the required instances by SageMaker's quota name. The daily and the retraining jobs may overlap."""
        size = size_of(self._environment.variables)
        maximum = int(self._environment.variables.numbers("scoring_instances")["max"]) * size.variants
        return {
            # An update starts the new instances before it stops the old ones.
            f"{size.instance_type} for endpoint usage": 2 * maximum,
            f"{size.job_instance_type} for processing job usage": 2,
            f"{size.training_instance_type} for training job usage": 1,
        }

    @cached_property
    def _quotas(self) -> dict[str, float]:
        return self._account.sagemaker_quotas()

    def _instance_quota(self, name: str, required: int) -> CheckResult:
        return _quota(name, int(self._quotas.get(name, 0)), required, "sagemaker")

    def _shards(self) -> CheckResult:
        size, room = size_of(self._environment.variables), self._account.shard_quota()
        required = (size.decisions_shards or ON_DEMAND_SHARDS) + (0 if size.on_msk else size.concurrent_invocations)
        return _quota("Kinesis shards", room.limit - room.open, required, "kinesis")

    def _concurrency(self) -> CheckResult:
        variables, size = self._environment.variables, size_of(self._environment.variables)
        by_function = [int(variables.number(f"{name}_reserved_concurrency")) for name in ("stream", "score", "model")]
        # AWS keeps at least 100 for functions without reserved concurrency.
        reserved = sum(each for each in by_function if each > 0)
        required = max(reserved + 100 if reserved else 0, size.concurrent_invocations + 2)
        return _quota("Lambda concurrency", self._account.unreserved_concurrency(), required, "lambda")

    def _state(self) -> CheckResult:
        bucket = self._environment.state_bucket(self._account.identity().account)
        remedy = "" if self._account.has_bucket(bucket) else "cardwatch aws deploy creates it"
        return CheckResult(STATE_BUCKET, bucket, remedy)

    def _image(self, part: str, repository: str) -> CheckResult:
        exists = self._account.has_image(repository, self._image_tag)
        remedy = "" if exists else "build and push it, see docs/aws.md"
        return CheckResult(f"{IMAGE} {part}", f"{repository}:{self._image_tag}", remedy)

    def _model(self) -> CheckResult:
        url = self._environment.model_url(self._account.identity().account)
        exists = self._account.has_object(*parse_object_url(url))
        return CheckResult(MODEL, url, "" if exists else f"cardwatch aws model {self._environment.name} uploads it")


def _run(name: str, check: Callable[[], CheckResult]) -> CheckResult:
    """Return the result of a check, or a failed result with the error if AWS refuses the call."""
    try:
        return check()
    except CardwatchError as error:
        return CheckResult(name, "not known", str(error))


def _quota(name: str, available: int, required: int, service: str) -> CheckResult:
    remedy = ""
    if available < required:
        remedy = f"{required} are needed: request an increase in Service Quotas, service {service}"
    return CheckResult(f"quota: {name}", f"{available:,}", remedy)
