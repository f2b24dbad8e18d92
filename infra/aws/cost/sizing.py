"""Size of an environment, and the size that a rate of transactions requires.

The formulas are those of the estimator, `cardwatch.estimator.aws_design`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct, structs

from cardwatch.errors import Misconfigured
from cardwatch.estimator.aws_design import AWS_STEPS
from cardwatch.estimator.quantities import computed
from cardwatch.estimator.stream_design import STREAM_STEPS
from infra.aws.cost.prices import Inputs
from infra.aws.hcl import Variables

ON_DEMAND_SHARDS: Final = 4
"""Initial number of shards of a stream on demand."""

_CPUS: Final = {"medium": 2, "large": 2, "xlarge": 4, "2xlarge": 8, "4xlarge": 16, "9xlarge": 36, "12xlarge": 48}


class Size(Struct, frozen=True, kw_only=True):
    """Resources that are billed by the hour, and parameters of those billed by use.

    `transactions_shards` and `decisions_shards` are 0 for a stream on demand. `instances` is the sum over the
    endpoint's variants, `score_kept_warm` is the provisioned concurrency of the score function. With `on_msk`,
    transactions come through MSK Serverless, with a partition in place of each shard. With `daily`, a schedule starts
    the daily jobs.
    """

    on_msk: bool
    transactions_shards: int
    decisions_shards: int
    retention_hours: float
    batch: int
    stream_gb: float
    score_gb: float
    instance_type: str
    instances: int
    variants: int
    capture_share: float
    endpoints: int
    endpoint_zones: int
    keys: int = 2
    score_kept_warm: int
    firewall: bool
    daily: bool
    job_instance_type: str
    training_instance_type: str

    @property
    def concurrent_invocations(self) -> int:
        """Concurrent invocations of the stream function: one per shard, which keeps the order of transactions."""
        return self.transactions_shards or ON_DEMAND_SHARDS

    def batches_per_second(self, rate: float) -> float:
        """Return batches per second at `rate` transactions per second: full ones, or one per second and busy shard."""
        given = {"tps": rate, "batch": self.batch, "functions": self.concurrent_invocations}
        return computed(AWS_STEPS, given, ["batches_per_second"])["batches_per_second"]


def size_of(variables: Variables) -> Size:
    """Return the size by the variables of an environment, with auto-scaling at its minimum."""
    variants = 1 + bool(variables.text("challenger_model_data_url"))
    on_msk = variables.text("ingress") == "msk"
    return Size(
        on_msk=on_msk,
        transactions_shards=int(variables.number("transactions_shards")),
        decisions_shards=int(variables.number("decisions_shards")),
        retention_hours=variables.number("stream_retention_hours"),
        batch=int(variables.number("stream_batch_size")),
        stream_gb=variables.number("stream_memory_mb") / 1024,
        score_gb=variables.number("score_memory_mb") / 1024,
        instance_type=variables.text("scoring_instance_type"),
        instances=int(variables.numbers("scoring_instances")["min"]) * variants,
        variants=variants,
        capture_share=variables.number("capture_percent") / 100,
        endpoints=len(variables.words("interface_endpoints"))
        + (2 if on_msk else 0)
        + (1 if variables.text("control_key_secret_arn") else 0),
        endpoint_zones=int(variables.number("interface_endpoint_zones")),
        score_kept_warm=int(variables.number("score_provisioned_concurrency")),
        firewall=variables.flag("waf"),
        daily=variables.flag("daily_enabled"),
        job_instance_type=variables.text("job_instance_type"),
        training_instance_type=variables.text("training_instance_type"),
    )


def size_for(rate: float, size: Size, inputs: Inputs) -> Size:
    """Return `size` with enough shards and instances for `rate` transactions per second, and at least its own.

    A stream on demand stays on demand, because AWS scales it.
    """
    needed = _quantities(rate, size, inputs, ("transactions_shards", "decisions_shards", "instances"))
    return structs.replace(
        size,
        transactions_shards=int(needed["transactions_shards"]) if size.transactions_shards else 0,
        decisions_shards=int(needed["decisions_shards"]) if size.decisions_shards else 0,
        instances=int(needed["instances"]),
    )


def transactions_shards(rate: float, size: Size, inputs: Inputs) -> dict[str, int]:
    """Return the shards of transactions that records, bytes and the function's time require.

    A shard's batches are processed one after the other, `batch` transactions in `batch_ms`.
    """
    return _by_reason(rate, size, inputs, "shards_by_", ("records", "bytes", "time"))


def decisions_shards(rate: float, size: Size, inputs: Inputs) -> dict[str, int]:
    """Return the shards of decisions that records and bytes require."""
    return _by_reason(rate, size, inputs, "decisions_by_", ("records", "bytes"))


def instances(rate: float, size: Size, inputs: Inputs) -> int:
    """Return the required instances of one variant of the endpoint."""
    return int(_quantities(rate, size, inputs, ["instances_by_rows"])["instances_by_rows"])


def write_units(rate: float, size: Size, inputs: Inputs) -> float:
    """Return DynamoDB write units per second: each transaction writes its card, each batch its shard's item."""
    return _quantities(rate, size, inputs, ["write_units"])["write_units"]


def read_units(rate: float, size: Size, inputs: Inputs) -> float:
    """Return DynamoDB read units per second: each transaction and API call reads a card, each batch a shard's item."""
    return _quantities(rate, size, inputs, ["read_units"])["read_units"]


def provisioned(size: Size) -> Size:
    """Return `size` with provisioned streams instead of streams on demand."""
    return structs.replace(
        size, transactions_shards=size.transactions_shards or 1, decisions_shards=size.decisions_shards or 1
    )


def cards(rate: float, inputs: Inputs) -> float:
    """Return the number of active cards behind a rate."""
    given = {"tps": rate, "cards_given": 0.0, **structs.asdict(inputs)}
    return computed(STREAM_STEPS, given, ["cards"])["cards"]


def quantities_given(rate: float, size: Size, inputs: Inputs) -> dict[str, float]:
    """Return the names of the formulas that a rate, a size and the inputs give; a shard has one function at a time."""
    return {
        **structs.asdict(inputs),
        "tps": rate,
        "peak_tps": rate,
        "batch": size.batch,
        "functions": size.concurrent_invocations,
        "own_transactions_shards": size.transactions_shards,
        "own_decisions_shards": size.decisions_shards,
        "own_instances": size.instances,
        "variants": size.variants,
        "instance_cpus": cpus_of(size.instance_type),
    }


def cpus_of(instance_type: str) -> int:
    """Return the virtual CPUs of an instance type, by the suffix of its name."""
    _, _, suffix = instance_type.rpartition(".")
    if suffix not in _CPUS:
        raise Misconfigured(f"the number of virtual CPUs of {instance_type!r} is not known, see {__name__}")
    return _CPUS[suffix]


def _by_reason(rate: float, size: Size, inputs: Inputs, prefix: str, reasons: tuple[str, ...]) -> dict[str, int]:
    found = _quantities(rate, size, inputs, [prefix + reason for reason in reasons])
    return {reason: int(found[prefix + reason]) for reason in reasons}


def _quantities(rate: float, size: Size, inputs: Inputs, wanted: Iterable[str]) -> dict[str, float]:
    return computed(AWS_STEPS, quantities_given(rate, size, inputs), wanted)
