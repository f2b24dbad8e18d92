"""How large an environment is, and how large it would have to be for a rate of transactions."""

from __future__ import annotations

from math import ceil
from typing import Final

from msgspec import Struct, structs

from cardwatch.errors import Misconfigured
from infra.aws.cost.prices import Inputs
from infra.aws.deploy.hcl import Variables

SHARD_RECORDS: Final = 1_000
"""Records a second that one Kinesis shard takes."""
SHARD_BYTES: Final = 1024 * 1024
"""Bytes a second that one Kinesis shard takes."""
ON_DEMAND_SHARDS: Final = 4
"""Shards that a stream on demand begins with."""
WRITE_UNIT_BYTES: Final = 1024
READ_UNIT_BYTES: Final = 4096

_CPUS: Final = {"medium": 2, "large": 2, "xlarge": 4, "2xlarge": 8, "4xlarge": 16, "9xlarge": 36, "12xlarge": 48}


class Size(Struct, frozen=True, kw_only=True):
    """What is paid for by the hour, and what decides how the rest is used.

    `transactions_shards` and `decisions_shards` are 0 for a stream on demand. `instances` is the sum over the variants
    of the endpoint, `score_kept_warm` functions behind the API are kept ready. `on_msk`: transactions come through MSK
    Serverless, with as many partitions as there were shards. `daily`: the jobs about a day start by the clock.
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
    def invocations_at_once(self) -> int:
        """Invocations of the stream's function at once: one a shard, for a card's transactions stay in their order."""
        return self.transactions_shards or ON_DEMAND_SHARDS

    def batches_a_second(self, rate: float) -> float:
        """Batches that `rate` transactions a second come in: full ones, but at least one a second and busy shard."""
        return max(rate / self.batch, min(rate, self.invocations_at_once))


def size_of(variables: Variables) -> Size:
    """An environment's size, by its variables, while nothing comes: auto-scaling is at its least."""
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
        endpoints=len(variables.words("interface_endpoints")) + (2 if on_msk else 0),
        endpoint_zones=int(variables.number("interface_endpoint_zones")),
        score_kept_warm=int(variables.number("score_provisioned_concurrency")),
        firewall=variables.flag("waf"),
        daily=variables.flag("daily_enabled"),
        job_instance_type=variables.text("job_instance_type"),
        training_instance_type=variables.text("training_instance_type"),
    )


def size_for(rate: float, size: Size, inputs: Inputs) -> Size:
    """`size` with as many shards and instances as `rate` transactions a second need, never fewer than it has.

    A stream on demand stays so: it grows by itself.
    """
    incoming = max(*transactions_shards(rate, size, inputs).values(), size.transactions_shards)
    outgoing = max(*decisions_shards(rate, inputs).values(), size.decisions_shards)
    return structs.replace(
        size,
        transactions_shards=incoming if size.transactions_shards else 0,
        decisions_shards=outgoing if size.decisions_shards else 0,
        instances=max(instances(rate, size, inputs) * size.variants, size.instances),
    )


def transactions_shards(rate: float, size: Size, inputs: Inputs) -> dict[str, int]:
    """Shards of the stream of transactions, by what asks for them: records, bytes, and the time of the function.

    The last one: a shard's batches are worked one after the other, so it takes `batch` transactions in `batch_ms`.
    """
    return {
        "records": _at_least(rate / SHARD_RECORDS / inputs.headroom),
        "bytes": _at_least(rate * inputs.transaction_bytes / SHARD_BYTES / inputs.headroom),
        "time": _at_least(rate / size.batch * inputs.batch_ms / 1000 / inputs.headroom),
    }


def decisions_shards(rate: float, inputs: Inputs) -> dict[str, int]:
    """Shards of the stream of decisions, by what asks for them."""
    return {
        "records": _at_least(rate / SHARD_RECORDS / inputs.headroom),
        "bytes": _at_least(rate * inputs.decision_bytes / SHARD_BYTES / inputs.headroom),
    }


def instances(rate: float, size: Size, inputs: Inputs) -> int:
    """Instances of one variant of the endpoint."""
    rows_a_second = inputs.rows_a_second_and_cpu * inputs.endpoint_share * cpus_of(size.instance_type)
    return _at_least(rate / rows_a_second / inputs.headroom)


def write_units(rate: float, size: Size, inputs: Inputs) -> float:
    """DynamoDB write units a second: each transaction writes its card, each batch its shard's item."""
    of_cards = rate * ceil(inputs.card_item_bytes / WRITE_UNIT_BYTES)
    of_shards = size.batches_a_second(rate) * inputs.shard_writes_a_batch
    return of_cards + of_shards * ceil(inputs.shard_item_bytes / WRITE_UNIT_BYTES)


def read_units(rate: float, size: Size, inputs: Inputs) -> float:
    """DynamoDB read units a second, all consistent: cards by transactions and questions, a shard's item by batches."""
    of_cards = rate * (1 + inputs.questions_share) * ceil(inputs.card_item_bytes / READ_UNIT_BYTES)
    return of_cards + size.batches_a_second(rate) * ceil(inputs.shard_item_bytes / READ_UNIT_BYTES)


def provisioned(size: Size) -> Size:
    """`size` with streams of a fixed number of shards instead of such on demand."""
    return structs.replace(
        size, transactions_shards=size.transactions_shards or 1, decisions_shards=size.decisions_shards or 1
    )


def cards(rate: float, inputs: Inputs) -> float:
    """Cards that make this rate."""
    return min(rate * 86_400 / inputs.transactions_a_card_and_day, inputs.most_cards)


def cpus_of(instance_type: str) -> int:
    """Virtual CPUs of an instance type, by the end of its name."""
    _, _, suffix = instance_type.rpartition(".")
    if suffix not in _CPUS:
        raise Misconfigured(f"{instance_type!r}: how many virtual CPUs it has is not known here, see {__name__}")
    return _CPUS[suffix]


def _at_least(number: float) -> int:
    return max(ceil(number), 1)
