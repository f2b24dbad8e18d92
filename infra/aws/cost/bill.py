"""Monthly bill of an environment, by its size and the rate of transactions."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Final

from msgspec import Struct

from infra.aws.cost.prices import Inputs, Prices
from infra.aws.cost.sizing import READ_UNIT_BYTES, WRITE_UNIT_BYTES, Size, cards, read_units, write_units

GB: Final = 1024**3
MILLION: Final = 1_000_000
MIN_DOLLARS: Final = 0.005
"""Smaller items are left out; they would be printed as 0.00."""
PUT_UNIT_BYTES: Final = 25 * 1024
"""Size of a put unit: Kinesis bills a record in a provisioned stream by started units."""


class BillItem(Struct, frozen=True):
    """One item of a bill: the service, the quantities behind the price, and dollars per month."""

    service: str
    quantities: str
    dollars: float


def bill(size: Size, rate: float, prices: Prices, inputs: Inputs) -> list[BillItem]:
    """Return the items of a month at a constant `rate` in transactions per second, without items of zero."""
    return [item for item in _MonthlyBill(size, rate, prices, inputs).items() if item.dollars >= MIN_DOLLARS]


def total(items: list[BillItem]) -> float:
    """Return the sum in dollars per month."""
    return sum(item.dollars for item in items)


def reserved_table(size: Size, rate: float, prices: Prices, inputs: Inputs) -> float:
    """Return the price of DynamoDB with reserved capacity for the rate, in dollars per month.

    Reserved capacity is cheaper for steady traffic; `bill` assumes capacity on demand.
    """
    writes = write_units(rate, size, inputs) * prices.of("dynamodb_write_hour")
    reads = read_units(rate, size, inputs) * prices.of("dynamodb_read_hour")
    storage = _MonthlyBill(size, rate, prices, inputs).state_storage()
    return (writes + reads) / inputs.headroom * inputs.hours_a_month + storage.dollars


class _MonthlyBill:
    """The arithmetic of one bill, a method per item. Prices and inputs have their names in docs/aws-costs.md."""

    def __init__(self, size: Size, rate: float, prices: Prices, inputs: Inputs) -> None:
        self._size, self._inputs, self._rate = size, inputs, rate
        self._price = prices.of
        self._hours = inputs.hours_a_month
        self._transactions = rate * self._hours * 3600
        self._api_calls = self._transactions * inputs.questions_share
        self._batches = size.batches_per_second(rate) * self._hours * 3600

    def items(self) -> Iterator[BillItem]:
        yield self._transactions_log()
        yield self._stream("decisions", self._size.decisions_shards, self._inputs.decision_bytes)
        yield self._state_requests()
        yield self.state_storage()
        yield self._stream_function()
        yield self._score_function()
        yield self._endpoint()
        yield self._network()
        yield BillItem("KMS", f"{self._size.keys} keys", self._size.keys * self._price("kms_key"))
        yield self._monitoring()
        yield self._object_storage()
        yield BillItem("ECR", f"{self._inputs.image_gb:g} GB", self._inputs.image_gb * self._price("ecr_kept"))
        yield self._jobs()
        yield self._backfill()

    def _transactions_log(self) -> BillItem:
        if not self._size.on_msk:
            return self._stream("transactions", self._size.transactions_shards, self._inputs.transaction_bytes)
        partitions = self._size.concurrent_invocations
        gigabytes = self._transactions * self._inputs.transaction_bytes / GB
        dollars = self._hours * (self._price("msk_cluster") + partitions * self._price("msk_partition"))
        dollars += gigabytes * (self._price("msk_in") + self._price("msk_out"))
        return BillItem("MSK Serverless", f"partitions: {partitions}; {gigabytes:,.1f} GB in and out", dollars)

    def _stream(self, name: str, shards: int, record_bytes: float) -> BillItem:
        longer_hours = max(self._size.retention_hours - 24, 0)
        if shards:
            units = self._transactions * ceil(record_bytes / PUT_UNIT_BYTES) / MILLION
            an_hour = self._price("kinesis_shard") + bool(longer_hours) * self._price("kinesis_kept_longer")
            dollars = shards * self._hours * an_hour + units * self._price("kinesis_put")
            return BillItem(f"Kinesis {name}", f"shards: {shards:,}; {units:,.1f} million put units", dollars)
        gigabytes = self._transactions * ceil(record_bytes / 1024) * 1024 / GB
        dollars = self._hours * self._price("kinesis_on_demand")
        dollars += gigabytes * (self._price("kinesis_on_demand_in") + self._price("kinesis_on_demand_out"))
        dollars += gigabytes * longer_hours / self._hours * self._price("kinesis_on_demand_kept")
        return BillItem(f"Kinesis {name}", f"on demand, {gigabytes:,.1f} GB in and out", dollars)

    def _state_requests(self) -> BillItem:
        seconds = self._hours * 3600 / MILLION
        writes = write_units(self._rate, self._size, self._inputs) * seconds
        reads = read_units(self._rate, self._size, self._inputs) * seconds
        per_write = ceil(self._inputs.card_item_bytes / WRITE_UNIT_BYTES)
        per_read = ceil(self._inputs.card_item_bytes / READ_UNIT_BYTES)
        return BillItem(
            "DynamoDB on demand",
            f"million units: {writes:,.1f} to write ({per_write} a card), {reads:,.1f} to read ({per_read} a card)",
            writes * self._price("dynamodb_write") + reads * self._price("dynamodb_read"),
        )

    def state_storage(self) -> BillItem:
        held = cards(self._rate, self._inputs)
        dollars = held * self._inputs.card_item_bytes / GB * self._price("dynamodb_kept")
        return BillItem("DynamoDB, kept", f"{held:,.0f} cards of {self._inputs.card_item_bytes:,.0f} bytes", dollars)

    def _stream_function(self) -> BillItem:
        batch_ms, memory_gb = self._inputs.batch_ms, self._size.stream_gb
        quantities = f"{self._batches / MILLION:,.2f} million batches of {batch_ms:g} ms, {memory_gb:.3g} GB"
        return BillItem("Lambda stream", quantities, self._invocations(self._batches, batch_ms, memory_gb))

    def _score_function(self) -> BillItem:
        call_ms, memory_gb, warm = self._inputs.question_ms, self._size.score_gb, self._size.score_kept_warm
        dollars = self._invocations(self._api_calls, call_ms, memory_gb)
        dollars += warm * memory_gb * self._hours * 3600 * self._price("lambda_warm")
        dollars += self._api_calls / MILLION * self._price("api_call")
        quantities = f"{self._api_calls / MILLION:,.2f} million calls of {call_ms:g} ms, kept warm: {warm}"
        if self._size.firewall:
            dollars += self._price("firewall") + self._api_calls / MILLION * self._price("firewall_call")
            quantities += ", firewall"
        return BillItem("API Gateway, Lambda score", quantities, dollars)

    def _invocations(self, count: float, each_ms: float, memory_gb: float) -> float:
        used = count * each_ms / 1000 * memory_gb
        return count / MILLION * self._price("lambda_call") + used * self._price("lambda_time")

    def _endpoint(self) -> BillItem:
        instances, kind = self._size.instances, self._size.instance_type
        return BillItem("SageMaker endpoint", f"{instances:,} x {kind}", instances * self._hours * self._price(kind))

    def _network(self) -> BillItem:
        services, zones = self._size.endpoints, self._size.endpoint_zones
        gigabytes = self._transactions * (self._inputs.decision_bytes + self._inputs.row_bytes) / GB
        dollars = services * zones * self._hours * self._price("endpoint_zone")
        dollars += gigabytes * self._price("endpoint_data")
        return BillItem("VPC endpoints", f"{services} services, zones: {zones}; {gigabytes:,.1f} GB", dollars)

    def _monitoring(self) -> BillItem:
        gigabytes, alarms = self._batches * self._inputs.log_bytes_a_batch / GB, self._inputs.alarms
        dollars = gigabytes * (self._price("logs_in") + self._price("logs_kept"))
        dollars += alarms * self._price("alarm") + self._price("dashboard")
        return BillItem("CloudWatch", f"{gigabytes:,.2f} GB of logs, {alarms:g} alarms, a dashboard", dollars)

    def _object_storage(self) -> BillItem:
        each = self._inputs.decision_bytes + self._inputs.row_bytes * self._size.capture_share
        kept = self._rate * 86_400 * self._inputs.kept_days * each / GB
        dollars = self._batches / 1000 * self._price("s3_put") + kept * self._price("s3_kept")
        return BillItem("S3", f"{self._batches / MILLION:,.2f} million objects written, {kept:,.1f} GB kept", dollars)

    def _jobs(self) -> BillItem:
        daily = self._size.daily * self._inputs.job_hours_a_day * self._hours / 24
        retraining = self._inputs.retrainings_a_month * self._inputs.retraining_hours
        kind, training = self._size.job_instance_type, self._size.training_instance_type
        dollars = daily * self._price(kind) + retraining * self._price(training)
        return BillItem("SageMaker jobs", f"{daily:,.1f} h of {kind}, {retraining:g} h of {training}", dollars)

    def _backfill(self) -> BillItem:
        hours = self._inputs.backfill_cpu_hours
        dollars = hours * (self._price("emr_cpu") + 4 * self._price("emr_memory"))
        return BillItem("EMR Serverless", f"{hours:g} vCPU hours with 4 GB each", dollars)
