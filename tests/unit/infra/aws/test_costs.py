"""Cost estimates for AWS: the arithmetic, with prices and inputs that are easy to check, and the generated page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec import structs

from cardwatch.errors import Misconfigured
from cardwatch.estimator.aws_design import AWS_STEPS
from cardwatch.estimator.expression import names_in
from cardwatch.estimator.quantities import tree_of
from cardwatch.estimator.stream_design import STREAM_STEPS
from infra.aws.cost.bill import bill, reserved_table, total
from infra.aws.cost.document import costs_document, estimate
from infra.aws.cost.prices import Inputs, Prices, costs_page, inputs_of, prices_in, quotas_of
from infra.aws.cost.sizing import (
    Size,
    decisions_shards,
    instances,
    provisioned,
    read_units,
    size_for,
    size_of,
    transactions_shards,
    write_units,
)
from infra.aws.environments import TERRAFORM, Environment
from infra.aws.hcl import read_assignments, read_variables
from infra.aws.markdown_tables import rows_of, with_generated

INPUTS = Inputs(
    transaction_bytes=512,
    decision_bytes=2048,
    card_item_bytes=3000,  # 3 units to write, 1 to read
    shard_item_bytes=5000,  # 5 units to write, 2 to read
    shard_writes_a_batch=2,
    batch_ms=200,
    rows_a_second_and_cpu=1000,
    endpoint_share=0.5,
    headroom=0.5,
    questions_share=0.1,
    question_ms=50,
    transactions_a_card_and_day=4,
    most_cards=1_000_000,
    log_bytes_a_batch=1024,
    row_bytes=256,
    kept_days=10,
    image_gb=2,
    alarms=7,
    job_hours_a_day=2,
    retrainings_a_month=3,
    retraining_hours=4,
    backfill_cpu_hours=5,
    hours_a_month=100,
)
SIZE = Size(
    on_msk=False,
    transactions_shards=4,
    decisions_shards=2,
    retention_hours=24,
    batch=100,
    stream_gb=2,
    score_gb=1,
    instance_type="ml.c5.xlarge",
    instances=3,
    variants=1,
    capture_share=0.5,
    endpoints=5,
    endpoint_zones=2,
    score_kept_warm=0,
    firewall=False,
    daily=True,
    job_instance_type="ml.m5.large",
    training_instance_type="ml.m5.xlarge",
)
ONE_DOLLAR = Prices("2026-11", "here", {row[0]: 1.0 for row in rows_of(costs_page(), "price")[1:]})
MONTH_SECONDS = 360_000


def dollars(size: Size, rate: float) -> dict[str, float]:
    return {item.service: item.dollars for item in bill(size, rate, ONE_DOLLAR, INPUTS)}


def test_shards_are_required_by_records_bytes_or_the_time_of_the_function() -> None:
    """1,000/s with a headroom of one half: 1,000 / 1,000 / 0.5; 500 KiB / 1 MiB / 0.5; 10 batches x 0.2 s / 0.5."""
    assert transactions_shards(1000, SIZE, INPUTS) == {"records": 2, "bytes": 1, "time": 4}
    assert decisions_shards(1000, SIZE, INPUTS) == {"records": 2, "bytes": 4}  # 1.95 MiB / 0.5


def test_larger_batches_need_fewer_shards() -> None:
    assert transactions_shards(1000, structs.replace(SIZE, batch=1000), INPUTS)["time"] == 1


def test_instances_are_required_by_rows_and_processors() -> None:
    """An xlarge has 4 CPUs: 1,000 x 0.5 x 4 = 2,000 rows a second, and half of it is used."""
    assert instances(1000, SIZE, INPUTS) == 1
    assert instances(1001, SIZE, INPUTS) == 2


def test_the_table_is_written_once_a_transaction_and_twice_a_batch() -> None:
    """1,000 x 3 + 10 batches x 2 x 5; reads: 1,000 x 1.1 (API calls too) x 1 + 10 x 2."""
    assert write_units(1000, SIZE, INPUTS) == 3100
    assert read_units(1000, SIZE, INPUTS) == pytest.approx(1120)


def test_a_low_rate_makes_a_batch_per_second_and_shard() -> None:
    assert SIZE.batches_per_second(0.5) == 0.5
    assert SIZE.batches_per_second(10) == 4
    assert SIZE.batches_per_second(1000) == 10


def test_an_environment_without_traffic_pays_for_hours_only() -> None:
    assert dollars(SIZE, 0) == {
        "Kinesis transactions": 400,  # 4 shards x 100 h
        "Kinesis decisions": 200,
        "SageMaker endpoint": 300,
        "VPC endpoints": 1000,  # 5 x 2 x 100 h
        "KMS": 2,
        "CloudWatch": 8,  # alarms and the dashboard
        "ECR": 2,
        "SageMaker jobs": pytest.approx(2 * 100 / 24 + 12),
        "EMR Serverless": 25,  # 5 h of one vCPU and 4 GB
    }


def test_traffic_is_paid_for_by_use() -> None:
    """1,000/s for 100 h: 360 million transactions, 3.6 million batches, 36 million API calls."""
    found = dollars(SIZE, 1000)
    assert found["Kinesis transactions"] == 400 + 360
    assert found["DynamoDB on demand"] == pytest.approx((3100 + 1120) * MONTH_SECONDS / 1e6)
    assert found["DynamoDB, kept"] == pytest.approx(1_000_000 * 3000 / 2**30)  # 21.6 million cards, but at most 1
    assert found["Lambda stream"] == pytest.approx(3.6 + 3.6e6 * 0.2 * 2)
    assert found["API Gateway, Lambda score"] == pytest.approx(36 + 36 + 36e6 * 0.05)
    assert found["VPC endpoints"] == pytest.approx(1000 + 360e6 * (2048 + 256) / 2**30)
    assert found["CloudWatch"] == pytest.approx(8 + 2 * 3.6e6 * 1024 / 2**30)
    assert found["S3"] == pytest.approx(3600 + 1000 * 86_400 * 10 * (2048 + 128) / 2**30)
    assert found["SageMaker endpoint"] == 300


def test_streams_on_demand_are_paid_for_by_bytes_in_steps_of_a_kilobyte() -> None:
    """Each transaction counts as 1 KiB: 343.3 GB in and out, and 76 h longer than a day kept."""
    size = structs.replace(SIZE, transactions_shards=0, retention_hours=100)
    gigabytes = 360e6 * 1024 / 2**30
    assert dollars(size, 1000)["Kinesis transactions"] == pytest.approx(100 + 2 * gigabytes + gigabytes * 76 / 100)


def test_keeping_records_longer_than_a_day_costs_each_shard() -> None:
    assert dollars(structs.replace(SIZE, retention_hours=25), 0)["Kinesis transactions"] == 800


def test_msk_is_paid_for_instead_of_the_stream_of_transactions() -> None:
    found = dollars(structs.replace(SIZE, on_msk=True), 0)
    assert found["MSK Serverless"] == 100 * (1 + 4)
    assert "Kinesis transactions" not in found
    assert "Kinesis decisions" in found


def test_functions_kept_warm_and_a_firewall_are_paid_for_without_traffic() -> None:
    found = dollars(structs.replace(SIZE, score_kept_warm=2, firewall=True), 0)
    assert found["API Gateway, Lambda score"] == 2 * 1 * MONTH_SECONDS + 1


def test_without_the_schedule_only_retraining_jobs_are_paid_for() -> None:
    assert dollars(structs.replace(SIZE, daily=False), 0)["SageMaker jobs"] == 12


def test_reserved_capacity_is_paid_for_by_the_hour_with_its_headroom() -> None:
    kept = 1_000_000 * 3000 / 2**30
    assert reserved_table(SIZE, 1000, ONE_DOLLAR, INPUTS) == pytest.approx((3100 + 1120) / 0.5 * 100 + kept)


def test_a_rate_adds_capacity_and_never_removes_any() -> None:
    grown = size_for(10_000, SIZE, INPUTS)
    assert (grown.transactions_shards, grown.decisions_shards, grown.instances) == (40, 40, 10)
    assert size_for(1, SIZE, INPUTS) == SIZE
    on_demand = structs.replace(SIZE, transactions_shards=0, decisions_shards=0)
    assert size_for(10_000, on_demand, INPUTS).transactions_shards == 0
    assert provisioned(on_demand).transactions_shards == 1


def test_a_challenger_doubles_the_instances() -> None:
    assert size_for(10_000, structs.replace(SIZE, variants=2), INPUTS).instances == 20


def test_an_estimate_has_the_requirement_for_each_quota() -> None:
    found = estimate(10_000, SIZE, ONE_DOLLAR, INPUTS)
    assert found.needs(INPUTS) == {
        "kinesis_shards": 80,
        "lambda_executions": 40 + 50,  # 1,000 API calls per second of 50 ms
        "dynamodb_writes": 31_000,
        "dynamodb_reads": pytest.approx(11_200),
        "endpoint_instances": 10,
        "api_calls": 1_000,
    }
    assert set(found.needs(INPUTS)) == set(quotas_of(costs_page()))


def test_the_published_page_is_up_to_date_with_its_tables_and_the_environments() -> None:
    assert costs_page() == costs_document(costs_page()), "run `cardwatch aws document`"


@pytest.mark.parametrize("name", ["sandbox", "production", "moto"])
def test_every_environment_has_a_price(name: str) -> None:
    environment = Environment(name)
    page = costs_page()
    prices = prices_in(environment.region, page)
    assert total(bill(size_of(environment.variables), 10, prices, inputs_of(page))) > 0


def test_the_page_has_the_month_of_its_prices_and_says_where_they_are_from() -> None:
    assert re.fullmatch(r"\d{4}-\d{2}", prices_in("us-east-1", costs_page()).as_of)
    assert "from memory" in costs_page()


def test_a_region_without_prices_and_an_instance_without_one_are_refused() -> None:
    with pytest.raises(Misconfigured, match="has no prices for mars-1, only for us-east-1, eu-central-1"):
        prices_in("mars-1", costs_page())
    with pytest.raises(Misconfigured, match=r"has no price 'ml\.p9\.huge'"):
        prices_in("us-east-1", costs_page()).of("ml.p9.huge")


def test_an_unknown_input_is_refused() -> None:
    page = costs_page().replace("| `batch_ms` |", "| `patch_ms` |")
    with pytest.raises(Misconfigured, match="batch_ms, patch_ms"):
        inputs_of(page)


def test_a_page_without_the_markers_is_refused() -> None:
    with pytest.raises(Misconfigured, match="the page lacks <!-- generated: x -->"):
        with_generated("nothing", "x", "text")


def test_variables_are_those_of_the_file_or_their_defaults(tmp_path: Path) -> None:
    (tmp_path / "variables.tf").write_text(
        """
# A comment with default = "no"
variable "shards" {
  description = "How many; {braces} too."
  type        = number
  default     = 3 # three
  validation {
    condition     = var.shards > 0
    error_message = "no"
  }
}

variable "names" {
  type    = set(string)
  default = ["a", "b.c"]
}

variable "sizes" {
  default = { min = 1, max = 2 }
}

variable "empty" {
  default = ""
}

variable "label" {
  type = string
}
"""
    )
    given = tmp_path / "terraform.tfvars"
    given.write_text('shards = 5 // five\nsizes = {\n  min = 2\n  max = 4.5\n}\n/* = */ label = "a \\"b\\""\n')
    variables = read_variables(tmp_path, given)
    assert variables.number("shards") == 5
    assert variables.words("names") == ["a", "b.c"]
    assert variables.numbers("sizes") == {"min": 2, "max": 4.5}
    assert variables.text("empty") == ""
    assert variables.text("label") == 'a "b"'
    with pytest.raises(Misconfigured, match="sets no other, and it has no default"):
        variables.text("other")
    with pytest.raises(Misconfigured, match=r"shards = 5.0 is not of type str"):
        variables.text("shards")


@pytest.mark.parametrize(("text", "why"), [("x = var.y", "'var' is not a literal"), ("shards 5", "'shards'")])
def test_expressions_are_refused(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "terraform.tfvars").write_text(text)
    with pytest.raises(Misconfigured, match=why):
        read_assignments(tmp_path / "terraform.tfvars")


def test_a_value_of_a_variable_that_is_not_declared_is_refused(tmp_path: Path) -> None:
    given = tmp_path / "terraform.tfvars"
    given.write_text("transaction_shards = 5\n")
    with pytest.raises(Misconfigured, match="declares no variable transaction_shards"):
        read_variables(TERRAFORM, given)


def test_an_environment_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(Misconfigured, match=r"there is no environment 'moon'.*sandbox"):
        Environment("moon")


def test_the_page_has_a_price_for_each_name_in_the_formulas_and_no_other() -> None:
    formulas = {name for each in (*AWS_STEPS, *STREAM_STEPS) for name in names_in(tree_of(each))}
    for region in ("us-east-1", "eu-central-1"):
        known = {name for name in prices_in(region, costs_page()).dollars if not name.startswith("ml.")}
        assert known - {"firewall"} <= formulas  # whose name in the formulas is that of the flag
        assert "firewall_month" in formulas
