"""What a rate of transactions needs on Kafka: the design of docs/architecture.md with states beside the workers.

The processor time per decision is measured. A part that runs Python uses one core, so a rate of r transactions a second
needs `r * microseconds / 1e6 / utilization` cores of it.
"""

from __future__ import annotations

from typing import Final

from cardwatch.drift.policy import DriftPolicy
from cardwatch.estimator.quantities import (
    Basis,
    EstimateCheck,
    EstimateInput,
    EstimateSection,
    KnownFigure,
    Unit,
    assumed,
    step,
    steps_of,
)
from cardwatch.features.state import STATE

UTILIZATION: Final = 0.6
REPLICAS: Final = 3
MIN_BROKERS: Final = 3
CORES_PER_BROKER: Final = 8
PARTITIONS_PER_WORKER: Final = 2
BROKER_BYTES: Final = 200e6
"""Bytes per second that a broker writes, replicas included."""
MACHINE_CORES: Final = 16
MACHINE_BYTES: Final = 32e9

INPUTS: Final = (
    EstimateInput(
        name="tps", title="transactions per second", unit=Unit.PER_SECOND, default=1_000, least=1, most=10_000_000,
        option="tps", note="the mean over a month",
    ),
    EstimateInput(
        name="peak_factor", title="peak over mean", unit=Unit.COUNT, default=1, least=1, most=20, option="peak",
        note="2.4 if a tenth of a day's payments falls into one hour; 1: the rate above is the peak",
    ),
    EstimateInput(
        name="transaction_bytes", title="bytes of a transaction", unit=Unit.BYTES, default=330, least=100, most=100_000,
        option="bytes", note="as JSON; a decision repeats its transaction",
    ),
    EstimateInput(
        name="cards_given", title="number of cards", unit=Unit.COUNT, default=0, least=0, most=20_000_000_000, option="cards",
        note="with a state each", empty="from the rate: two payments a day and card",
    ),
    EstimateInput(
        name="log_days", title="days in the log", unit=Unit.DAYS, default=7, least=1, most=365, option="log-days",
        note="how long Kafka keeps a record",
    ),
    EstimateInput(
        name="archive_days", title="days in the archive", unit=Unit.DAYS, default=30, least=1, most=3_650,
        option="archive-days", note="for training, monitoring and replay",
    ),
    EstimateInput(
        name="availability", title="availability", unit=Unit.PERCENT, default=99.95, least=90, most=99.9999,
        option="availability", note="of decisions of record",
    ),
    EstimateInput(
        name="label_days", title="label delay", unit=Unit.DAYS, default=DriftPolicy().maturity_days, least=0, most=365,
        option="label-days", note="until the labels of a day are complete",
    ),
)  # fmt: skip
"""What is asked for."""

ASSUMPTIONS: Final = (
    assumed("utilization", "planned share of a core", Unit.SHARE, UTILIZATION, "the rest is for peaks within seconds, and for the backlog after a failure"),
    assumed("replicas", "replicas", Unit.COUNT, REPLICAS, "one may be lost while another is restarted; two must have a record before it is accepted"),
    assumed("min_brokers", "least number of brokers", Unit.COUNT, MIN_BROKERS, "one for each replica"),
    assumed("cores_per_broker", "cores of a broker", Unit.CORES, CORES_PER_BROKER, "a usual size; the measured time is that of a broker with two"),
    assumed("partitions_per_worker", "partitions per worker", Unit.COUNT, PARTITIONS_PER_WORKER, "so that the partitions of a lost worker spread over the others"),
    assumed("broker_bytes", "bytes that a broker writes", Unit.BYTES_PER_SECOND, BROKER_BYTES, "replicas included; no broker was driven to its limit here"),
    assumed("hot_share", "share of states in memory", Unit.SHARE, 0.2, "cards that pay within the hours for which their state stays in memory"),
    assumed("broker_memory", "memory of a broker", Unit.BYTES, 8e9, "heap, and the newest minutes of the log for those who read it"),
    assumed("store_bytes", "bytes that a shared store takes", Unit.BYTES_PER_SECOND, 500e6, "over a network, on conditions that every write checks; no store was driven to its limit here"),
    assumed("machine_cores", "cores of a machine", Unit.CORES, MACHINE_CORES, "ml.c5.4xlarge, whose price docs/aws-costs.md has"),
    assumed("machine_memory", "memory of a machine", Unit.BYTES, MACHINE_BYTES, "the same machine"),
    assumed("single_zone", "availability of one zone", Unit.PERCENT, 99.5, "as clouds promise it for one machine; compare with your contract"),
    assumed("single_region", "availability of one region", Unit.PERCENT, 99.99, "as clouds promise it for machines in several zones; compare with your contract"),
    assumed("stops", "stops of a worker in a month", Unit.COUNT, 8.1, "eight deployments, and a failure every ten months"),
    assumed("broker_stops", "stops of a broker in a month", Unit.COUNT, 1.1, "one deployment, and a failure every ten months"),
    assumed("region_failover", "seconds without a region in a month", Unit.SECONDS, 25, "one loss a year, and five minutes until another region decides for its cards"),
    assumed("training_days", "days of a training", Unit.DAYS, 14, "a row counts half as much as one that is seven days younger, so older rows say little"),
    assumed("alert_share", "share of alerts", Unit.SHARE, 0.001, "one alert in a thousand transactions"),
    assumed("alerts_per_analyst", "alerts a day and analyst", Unit.COUNT, 100, "if a person checks each"),
    assumed("zone_crossings", "copies between zones", Unit.COUNT, 10 / 3, "two replicas in other zones, and two thirds of what is written once and read once"),
    assumed("state_copies", "copies of a state on disks", Unit.COUNT, 2, "the state beside its worker, and a snapshot"),
    assumed("disk_fill", "planned share of a disk", Unit.SHARE, 0.7, "the rest is for the time in which more disks are added"),
)  # fmt: skip
"""Numbers of the design that were not measured."""

CODE: Final = (
    KnownFigure(
        name="state_bytes", title="bytes of a state", unit=Unit.BYTES, value=STATE.itemsize, basis=Basis.CODE,
        source="cardwatch/features/state.py",
    ),
    KnownFigure(
        name="judge_days", title="days of a verdict", unit=Unit.DAYS, value=DriftPolicy().judge_days, basis=Basis.CODE,
        source="cardwatch/drift/policy.py: judge_days",
    ),
    KnownFigure(
        name="new_days", title="new days in a training", unit=Unit.DAYS, value=DriftPolicy().new_training_days,
        basis=Basis.CODE, source="cardwatch/drift/policy.py: new_training_days",
    ),
)  # fmt: skip
"""Constants of the code."""

_MONTH: Final = "(hours_a_month * 3600)"

_TRAFFIC: Final = (
    step("peak_tps", "peak rate", Unit.PER_SECOND, "tps * peak_factor", "Cores, partitions and brokers are sized for the peak, storage for the mean."),
    step("transactions_per_day", "transactions a day", Unit.COUNT, "tps * 86400"),
    step("cards", "cards", Unit.COUNT, "cards_given if cards_given > 0 else min(transactions_per_day / transactions_a_card_and_day, most_cards)"),
)  # fmt: skip

_STREAM: Final = (
    step("worker_cores", "busy cores of workers", Unit.CORES, "peak_tps * worker_us / 1e6 / utilization"),
    step("workers", "workers", Unit.COUNT, "max(1, ceil(worker_cores))", "One core each, because Python code runs on one."),
    step("partitions", "partitions", Unit.COUNT, "partitions_per_worker * workers", "The least number. It is fixed when the first worker starts, so choose that of the largest rate that you plan for."),
    step("partition_rate", "rate of a partition", Unit.PER_SECOND, "peak_tps / partitions"),
    step("scoring_workers", "scoring workers", Unit.COUNT, "max(1, ceil(peak_tps * scoring_us / 1e6 / utilization))", "They keep no state: any of them answers any batch."),
    step("log_bytes", "bytes of a transaction and its decision", Unit.BYTES, "stream_log_bytes + 2 * (transaction_bytes - base_transaction_bytes)", "Before compression. Most of it are the features in the decision, for replay."),
    step("broker_cores", "cores of brokers", Unit.CORES, "max(1, ceil(peak_tps * (broker_us * replicas) / 1e6 / utilization))", "The leader's time, and at most the same for each follower."),
    step("brokers_by_time", "brokers by processor time", Unit.COUNT, "max(min_brokers, ceil(broker_cores / cores_per_broker))"),
    step("brokers_by_bytes", "brokers by bytes", Unit.COUNT, "ceil(peak_tps * log_bytes * replicas / broker_bytes)"),
    step("brokers", "brokers", Unit.COUNT, "max(brokers_by_time, brokers_by_bytes)"),
    step("cores", "cores", Unit.CORES, "workers + scoring_workers + brokers * cores_per_broker"),
)  # fmt: skip

_STATE: Final = (
    step("states", "states of all cards", Unit.BYTES, "cards * state_bytes"),
    step("states_per_worker", "states of a worker", Unit.BYTES, "states / workers"),
    step("states_written", "states written", Unit.BYTES_PER_SECOND, "peak_tps * state_bytes", "One for each decision, because a batch seldom holds a card twice. Beyond some hundred MB a second they must lie beside the worker."),
    step("memory", "memory", Unit.BYTES, "workers * worker_memory + scoring_workers * scoring_memory + brokers * broker_memory + states * hot_share"),
    step("machines_by_cores", "machines by cores", Unit.COUNT, "ceil(cores / machine_cores)"),
    step("machines_by_memory", "machines by memory", Unit.COUNT, "ceil(memory / machine_memory)"),
    step("machines", "machines", Unit.COUNT, "max(machines_by_cores, machines_by_memory, replicas)", "At least one for each replica."),
)  # fmt: skip

_STORAGE: Final = (
    step("log_per_second", "log", Unit.BYTES_PER_SECOND, "tps * log_bytes"),
    step("log_per_day", "log of a day, all replicas", Unit.BYTES, "tps * 86400 * log_bytes * replicas"),
    step("log_kept", "log on disks", Unit.BYTES, "log_per_day * log_days"),
    step("disks", "disks", Unit.BYTES, "(log_kept + states * state_copies) / disk_fill"),
    step("needed_days", "days that a retraining needs", Unit.DAYS, "label_days + judge_days + training_days", "It is trained on days before those that it is judged on, whose labels must be complete."),
    step("archive_per_day", "archive of a day", Unit.BYTES, "log_per_day / replicas", "One copy in object storage, uncompressed."),
    step("archive_kept", "archive", Unit.BYTES, "archive_per_day * archive_days"),
)  # fmt: skip

_AVAILABILITY: Final = (
    step("allowed", "allowed in a month", Unit.SECONDS, f"(1 - availability / 100) * {_MONTH}"),
    step("stopped", "without a worker or a leader", Unit.SECONDS, "stops * takeover + broker_stops * leader_takeover", "Of each card: a stop concerns only the partitions of the worker or broker that stops."),
    step("without_zone", "without the zone, if there is one", Unit.SECONDS, f"(1 - single_zone / 100) * {_MONTH}"),
    step("without_region", "without the region, if there is one", Unit.SECONDS, f"(1 - single_region / 100) * {_MONTH}"),
    step("zones", "zones", Unit.COUNT, "1 if stopped + without_zone <= allowed else 3", "As few as the target allows. With three a replica is in each, and two accept a record."),
    step("regions", "regions", Unit.COUNT, "1 if stopped + without_region <= allowed else 2", "As few as the target allows. Each region owns cards and can take those of the other over."),
    step("expected_loss", "expected in a month", Unit.SECONDS, "stopped + (without_zone if 3 > zones else without_region if 2 > regions else region_failover)", "Without the scoring service rules decide: that is a loss of quality and none of availability."),
    step("expected_availability", "expected availability", Unit.PERCENT, f"(1 - expected_loss / {_MONTH}) * 100"),
    step("zone_lost_share", "share of a core with a zone lost", Unit.SHARE, "utilization * zones / max(1, zones - 1)", "At most 100 %: the others carry the load of a lost zone."),
)  # fmt: skip

_LABELS: Final = (
    step("unlabelled", "transactions without complete labels", Unit.COUNT, "transactions_per_day * label_days"),
    step("reaction_days", "days from a change to a new model", Unit.DAYS, "label_days + judge_days + new_days", "The least: labels must be complete, and the new days are trained on before others judge."),
    step("training_rows", "rows of a training", Unit.COUNT, "transactions_per_day * training_days"),
    step("replay_hours", "hours of one core for its features", Unit.HOURS, "training_rows / replay_rate / 3600", "Frauds and a sample of the others are enough for the trees."),
    step("alerts", "alerts a day", Unit.COUNT, "transactions_per_day * alert_share"),
    step("analysts", "analysts", Unit.COUNT, "ceil(alerts / alerts_per_analyst)", "People are scarcer than machines: so alerts have a price in the policy, and a challenge asks the customer."),
)  # fmt: skip

_DOLLARS: Final = (
    step("core_dollars", "machines a month", Unit.DOLLARS, "regions * machines * machine_price * hours_a_month", "Each region can take over all cards, and has their log and states."),
    step("disk_dollars", "disks a month", Unit.DOLLARS, "regions * disks / 1e9 * disk_kept"),
    step("zone_dollars", "traffic between zones a month", Unit.DOLLARS, f"tps * log_bytes * zone_crossings * {_MONTH} / 1e9 * zone_data if zones > 1 else 0"),
    step("archive_dollars", "archive a month", Unit.DOLLARS, "regions * archive_kept / 1e9 * s3_kept"),
    step("dollars", "together a month", Unit.DOLLARS, "core_dollars + disk_dollars + zone_dollars + archive_dollars", "List prices. Not in it: people, load balancers, traffic between regions, taxes and discounts."),
    step("dollars_per_million", "for a million transactions", Unit.DOLLARS, f"dollars / (tps * {_MONTH} / 1e6)"),
)  # fmt: skip

STREAM_SECTIONS: Final = (
    EstimateSection(name="traffic", title="Traffic", steps=_TRAFFIC),
    EstimateSection(name="stream", title="Workers, partitions and brokers", steps=_STREAM),
    EstimateSection(name="state", title="States and memory", steps=_STATE),
    EstimateSection(name="storage", title="Storage", steps=_STORAGE),
    EstimateSection(name="availability", title="Availability", steps=_AVAILABILITY),
    EstimateSection(name="labels", title="Labels and people", steps=_LABELS),
    EstimateSection(name="dollars", title="Dollars", steps=_DOLLARS),
)
"""The chain of the estimate, in the order in which it is computed."""
STREAM_STEPS: Final = steps_of(STREAM_SECTIONS)

CHECKS: Final = (
    EstimateCheck(
        formula="expected_loss <= allowed",
        passed="Expected stops and losses stay within what the availability allows.",
        failed="Expected stops and losses exceed what the availability allows: even a second region cannot reach it, because a stopped worker's partitions wait for another one.",
    ),
    EstimateCheck(
        formula="zone_lost_share <= 1",
        passed="Without one zone the others carry its load.",
        failed="Without one zone the others are overloaded: plan a smaller share of each core.",
    ),
    EstimateCheck(
        formula="states_written <= store_bytes",
        passed="A store that all workers share can take the states.",
        failed="A store that all workers share cannot take the states: keep them beside the workers, by partition.",
    ),
    EstimateCheck(
        formula="needed_days <= archive_days",
        passed="The archive keeps the days that a retraining needs.",
        failed="A retraining needs more days than the archive keeps: keep more, or train on fewer.",
    ),
)
"""Checks whose sentences tell a reader of an estimate where a part of the design is too small."""
