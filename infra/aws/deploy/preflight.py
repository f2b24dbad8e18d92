"""What has to be there before an environment is applied, each asked for itself: what is missing, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from urllib.parse import urlsplit

from msgspec import Struct

from adapters.aws.account import Account
from cardwatch.errors import CardwatchError
from infra.aws.cost.sizing import ON_DEMAND_SHARDS, size_of
from infra.aws.deploy.environments import Environment

STATE_BUCKET, IMAGE, MODEL = "state bucket", "image", "model"
"""What a first deployment makes, or asks its user for, on the way: `cardwatch aws deploy` looks for these later."""


class CheckResult(Struct, frozen=True):
    """One thing that was looked for. `says` is what was found; `todo` is empty if that is enough."""

    what: str
    says: str
    todo: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing is to be done."""
        return not self.todo


class Preflight:
    """The questions about one environment, in the order in which they make sense.

    `terraform_version` gives Terraform's version, or raises `Misconfigured` with the way to install one that will do.
    """

    def __init__(
        self, environment: Environment, account: Account, terraform_version: Callable[[], str], image_tag: str
    ) -> None:
        self._environment, self._account, self._image_tag = environment, account, image_tag
        self._terraform_version = terraform_version

    def findings(self) -> Iterator[CheckResult]:
        """All of them, each as soon as it is known; without credentials, what can be known without."""
        yield _asked("terraform", self._terraform)
        credentials = _asked("credentials", self._credentials)
        yield credentials
        if not credentials.ok:
            return
        for name, wanted in self._instances().items():
            yield _asked(f"quota: {name}", partial(self._instances_allowed, name, wanted))
        yield _asked("quota: Kinesis shards", self._shards)
        yield _asked("quota: Lambda concurrency", self._concurrency)
        yield _asked(STATE_BUCKET, self._state)
        yield from self.images()
        yield self.model()

    def images(self) -> Iterator[CheckResult]:
        """Whether each image is pushed under this tag."""
        for part, repository in self._environment.repositories().items():
            yield _asked(f"{IMAGE} {part}", partial(self._image, part, repository))

    def model(self) -> CheckResult:
        """Whether the first champion lies where the environment says."""
        return _asked(MODEL, self._model)

    def _terraform(self) -> CheckResult:
        return CheckResult("terraform", self._terraform_version())

    def _credentials(self) -> CheckResult:
        identity = self._account.identity()
        return CheckResult("credentials", f"{identity.arn}, account {identity.account}, in {self._account.region}")

    def _instances(self) -> dict[str, int]:
        """Instances that are needed, by SageMaker's names of the quotas. A day's and a retraining's jobs may meet."""
        size = size_of(self._environment.variables)
        most = int(self._environment.variables.numbers("scoring_instances")["max"]) * size.variants
        return {
            # An update starts the new instances before it ends the old ones.
            f"{size.instance_type} for endpoint usage": 2 * most,
            f"{size.job_instance_type} for processing job usage": 2,
            f"{size.training_instance_type} for training job usage": 1,
        }

    @cached_property
    def _quotas(self) -> dict[str, float]:
        return self._account.sagemaker_quotas()

    def _instances_allowed(self, name: str, wanted: int) -> CheckResult:
        return _enough(f"quota: {name}", int(self._quotas.get(name, 0)), wanted, "sagemaker")

    def _shards(self) -> CheckResult:
        size, room = size_of(self._environment.variables), self._account.shard_room()
        wanted = (size.decisions_shards or ON_DEMAND_SHARDS) + (0 if size.on_msk else size.invocations_at_once)
        return _enough("quota: Kinesis shards", room.limit - room.open, wanted, "kinesis")

    def _concurrency(self) -> CheckResult:
        variables, size = self._environment.variables, size_of(self._environment.variables)
        reserved = [int(variables.number(f"{name}_reserved_concurrency")) for name in ("stream", "score", "model")]
        # AWS leaves at least 100 to functions that reserve nothing.
        kept = sum(each for each in reserved if each > 0)
        wanted = max(kept + 100 if kept else 0, size.invocations_at_once + 2)
        return _enough("quota: Lambda concurrency", self._account.free_concurrency(), wanted, "lambda")

    def _state(self) -> CheckResult:
        bucket = self._environment.state_bucket(self._account.identity().account)
        todo = "" if self._account.has_bucket(bucket) else "cardwatch aws deploy makes it"
        return CheckResult(STATE_BUCKET, bucket, todo)

    def _image(self, part: str, repository: str) -> CheckResult:
        there = self._account.has_image(repository, self._image_tag)
        todo = "" if there else "build it and push it there, see docs/aws.md"
        return CheckResult(f"{IMAGE} {part}", f"{repository}:{self._image_tag}", todo)

    def _model(self) -> CheckResult:
        url = self._environment.model_url(self._account.identity().account)
        parts = urlsplit(url)
        there = self._account.has_object(parts.netloc, parts.path.lstrip("/"))
        return CheckResult(MODEL, url, "" if there else f"cardwatch aws model {self._environment.name} puts it there")


def _asked(what: str, question: Callable[[], CheckResult]) -> CheckResult:
    """The answer, or why there is none: a refusal to answer is something to do as well."""
    try:
        return question()
    except CardwatchError as error:
        return CheckResult(what, "not known", str(error))


def _enough(what: str, allowed: int, wanted: int, service: str) -> CheckResult:
    todo = "" if allowed >= wanted else f"{wanted} are needed: ask for more in Service Quotas, service {service}"
    return CheckResult(what, f"{allowed:,}", todo)
