"""What a rate of transactions needs and costs on AWS as it is built: Kinesis, Lambda, DynamoDB and SageMaker.

The names are those of the tables of docs/aws-costs.md, prices and inputs, and of the size of an environment. The bill of
an environment (`infra/aws/cost`) uses the same formulas.
"""

from __future__ import annotations

from typing import Final

from cardwatch.estimator.quantities import EstimateSection, Unit, step, steps_of

SHARD_RECORDS: Final = 1_000
"""Maximum records per second of a Kinesis shard."""
SHARD_BYTES: Final = 1024 * 1024
"""Maximum bytes per second of a Kinesis shard."""

_GB: Final = "1073741824"
_PUT_UNIT: Final = "25600"
"""Bytes of a put unit: Kinesis bills a record in a provisioned stream by started units."""
_SHARD_HOUR: Final = "(kinesis_shard + (kinesis_kept_longer if retention_hours > 24 else 0))"

_SIZE: Final = (
    step("shards_by_records", "shards by records", Unit.COUNT, f"max(1, ceil(peak_tps / {SHARD_RECORDS} / headroom))"),
    step("shards_by_bytes", "shards by bytes", Unit.COUNT, f"max(1, ceil(peak_tps * transaction_bytes / {SHARD_BYTES} / headroom))"),
    step("shards_by_time", "shards by the function's time", Unit.COUNT, "max(1, ceil(peak_tps / batch * batch_ms / 1000 / headroom))", "The batches of a shard are processed one after another, which keeps the order of a card."),
    step("transactions_shards", "shards of transactions", Unit.COUNT, "max(shards_by_records, shards_by_bytes, shards_by_time, own_transactions_shards)"),
    step("functions", "concurrent functions", Unit.COUNT, "transactions_shards", "One for each shard. Larger batches reduce both."),
    step("decision_bytes", "bytes of a decision", Unit.BYTES, "base_decision_bytes + transaction_bytes - base_transaction_bytes"),
    step("decisions_by_records", "shards of decisions by records", Unit.COUNT, f"max(1, ceil(peak_tps / {SHARD_RECORDS} / headroom))"),
    step("decisions_by_bytes", "shards of decisions by bytes", Unit.COUNT, f"max(1, ceil(peak_tps * decision_bytes / {SHARD_BYTES} / headroom))"),
    step("decisions_shards", "shards of decisions", Unit.COUNT, "max(decisions_by_records, decisions_by_bytes, own_decisions_shards)"),
    step("batches_per_second", "batches", Unit.PER_SECOND, "max(tps / batch, min(tps, functions))", "Full ones, or one a second and busy shard."),
    step("write_units", "write units of the table", Unit.PER_SECOND, "tps * ceil(card_item_bytes / 1024) + batches_per_second * shard_writes_a_batch * ceil(shard_item_bytes / 1024)", "Each transaction writes its card, each batch its shard's item."),
    step("read_units", "read units of the table", Unit.PER_SECOND, "tps * (1 + questions_share) * ceil(card_item_bytes / 4096) + batches_per_second * ceil(shard_item_bytes / 4096)"),
    step("instances_by_rows", "instances by rows", Unit.COUNT, "max(1, ceil(peak_tps / (rows_a_second_and_cpu * endpoint_share * instance_cpus) / headroom))"),
    step("instances", "instances of the endpoint", Unit.COUNT, "max(instances_by_rows * variants, own_instances)"),
)  # fmt: skip

_USE: Final = (
    step("month_transactions", "transactions in a month", Unit.COUNT, "tps * hours_a_month * 3600"),
    step("api_calls", "calls of /v1/score in a month", Unit.COUNT, "month_transactions * questions_share"),
    step("million_calls", "million calls of /v1/score", Unit.COUNT, "api_calls / 1e6"),
    step("month_batches", "batches in a month", Unit.COUNT, "batches_per_second * hours_a_month * 3600"),
    step("million_batches", "million batches", Unit.COUNT, "month_batches / 1e6"),
    step("retention_hours", "hours in the streams", Unit.HOURS, "log_days * 24"),
    step("kept_days", "days of decisions in S3", Unit.DAYS, "archive_days", "Of the first month; each month adds the same."),
    step("transactions_units", "million put units of transactions", Unit.COUNT, f"month_transactions * ceil(transaction_bytes / {_PUT_UNIT}) / 1e6"),
    step("decisions_units", "million put units of decisions", Unit.COUNT, f"month_transactions * ceil(decision_bytes / {_PUT_UNIT}) / 1e6"),
    step("million_writes", "million write units", Unit.COUNT, "write_units * (hours_a_month * 3600 / 1e6)"),
    step("million_reads", "million read units", Unit.COUNT, "read_units * (hours_a_month * 3600 / 1e6)"),
    step("endpoint_gb", "GB through endpoints", Unit.COUNT, f"month_transactions * (decision_bytes + row_bytes) / {_GB}"),
    step("logs_gb", "GB of logs", Unit.COUNT, f"month_batches * log_bytes_a_batch / {_GB}"),
    step("kept_gb", "GB of decisions kept", Unit.COUNT, f"tps * 86400 * kept_days * (decision_bytes + row_bytes * capture_share) / {_GB}"),
    step("job_hours", "hours of daily jobs", Unit.HOURS, "daily * job_hours_a_day * hours_a_month / 24"),
    step("training_hours", "hours of retraining", Unit.HOURS, "retrainings_a_month * retraining_hours"),
)  # fmt: skip

_ITEMS: Final = (
    step("transactions_dollars", "Kinesis transactions", Unit.DOLLARS, f"transactions_shards * hours_a_month * {_SHARD_HOUR} + transactions_units * kinesis_put"),
    step("decisions_dollars", "Kinesis decisions", Unit.DOLLARS, f"decisions_shards * hours_a_month * {_SHARD_HOUR} + decisions_units * kinesis_put"),
    step("table_dollars", "DynamoDB on demand", Unit.DOLLARS, "million_writes * dynamodb_write + million_reads * dynamodb_read"),
    step("kept_dollars", "DynamoDB, kept", Unit.DOLLARS, f"cards * card_item_bytes / {_GB} * dynamodb_kept"),
    step("stream_dollars", "Lambda stream", Unit.DOLLARS, "million_batches * lambda_call + month_batches * batch_ms / 1000 * stream_gb * lambda_time"),
    step("score_dollars", "API Gateway, Lambda score", Unit.DOLLARS, "million_calls * lambda_call + api_calls * question_ms / 1000 * score_gb * lambda_time + score_kept_warm * score_gb * hours_a_month * 3600 * lambda_warm + million_calls * api_call + firewall * (firewall_month + million_calls * firewall_call)"),
    step("endpoint_dollars", "SageMaker endpoint", Unit.DOLLARS, "instances * hours_a_month * instance_price"),
    step("network_dollars", "VPC endpoints", Unit.DOLLARS, "endpoints * endpoint_zones * hours_a_month * endpoint_zone + endpoint_gb * endpoint_data"),
    step("keys_dollars", "KMS", Unit.DOLLARS, "keys * kms_key"),
    step("monitoring_dollars", "CloudWatch", Unit.DOLLARS, "logs_gb * (logs_in + logs_kept) + alarms * alarm + dashboard"),
    step("objects_dollars", "S3", Unit.DOLLARS, "month_batches / 1000 * s3_put + kept_gb * s3_kept"),
    step("images_dollars", "ECR", Unit.DOLLARS, "image_gb * ecr_kept"),
    step("jobs_dollars", "SageMaker jobs", Unit.DOLLARS, "job_hours * job_price + training_hours * training_price"),
    step("backfill_dollars", "EMR Serverless", Unit.DOLLARS, "backfill_cpu_hours * (emr_cpu + 4 * emr_memory)", "One vCPU with 4 GB."),
)  # fmt: skip

ITEMS: Final = tuple(each.name for each in _ITEMS)
"""The items of a bill with provisioned streams, by the names of their steps."""

_TOTAL: Final = (
    step("aws_dollars", "together a month", Unit.DOLLARS, " + ".join(ITEMS), "One region, provisioned streams, list prices."),
    step("aws_per_million", "for a million transactions", Unit.DOLLARS, "aws_dollars / (month_transactions / 1e6)"),
    step("reserved_dollars", "reserved table a month", Unit.DOLLARS, "(write_units * dynamodb_write_hour + read_units * dynamodb_read_hour) * peak_factor / headroom * hours_a_month"),
    step("aws_reserved", "together with a reserved table", Unit.DOLLARS, "aws_dollars - table_dollars + reserved_dollars"),
)  # fmt: skip

AWS_SECTIONS: Final = (
    EstimateSection(
        name="aws-size", title="On AWS: shards, functions, table and endpoint", steps=_SIZE,
        note="The same work by services that nobody operates: Kinesis, Lambda, DynamoDB and SageMaker, sized from the variables of the environment production.",
    ),
    EstimateSection(name="aws-use", title="On AWS: use in a month", steps=_USE),
    EstimateSection(name="aws-dollars", title="On AWS: the bill of a month", steps=(*_ITEMS, *_TOTAL)),
)  # fmt: skip
"""The chain of the design on AWS. It begins with the rates and the cards of the stream's chain."""

OTHER_STREAMS: Final = (
    step("transactions_gb", "GB of transactions on demand", Unit.COUNT, f"month_transactions * ceil(transaction_bytes / 1024) * 1024 / {_GB}"),
    step("decisions_gb", "GB of decisions on demand", Unit.COUNT, f"month_transactions * ceil(decision_bytes / 1024) * 1024 / {_GB}"),
    step("longer_share", "share of a month beyond the first day", Unit.COUNT, "max(retention_hours - 24, 0) / hours_a_month"),
    step("transactions_on_demand", "Kinesis transactions on demand", Unit.DOLLARS, "hours_a_month * kinesis_on_demand + transactions_gb * (kinesis_on_demand_in + kinesis_on_demand_out) + transactions_gb * longer_share * kinesis_on_demand_kept"),
    step("decisions_on_demand", "Kinesis decisions on demand", Unit.DOLLARS, "hours_a_month * kinesis_on_demand + decisions_gb * (kinesis_on_demand_in + kinesis_on_demand_out) + decisions_gb * longer_share * kinesis_on_demand_kept"),
    step("msk_gb", "GB through MSK", Unit.COUNT, f"month_transactions * transaction_bytes / {_GB}"),
    step("msk_dollars", "MSK Serverless", Unit.DOLLARS, "hours_a_month * (msk_cluster + functions * msk_partition) + msk_gb * (msk_in + msk_out)"),
)  # fmt: skip
"""What the bill of an environment has in place of provisioned streams. The estimate does not ask for it."""

AWS_STEPS: Final = (*steps_of(AWS_SECTIONS), *OTHER_STREAMS)
