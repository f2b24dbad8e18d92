"""The stream: from a transaction's arrival in the log to its decision, and the state that it leaves."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.dashboards.board import Section, board, firing
from monitoring.dashboards.panels import GREEN, RED, YELLOW, Panel, Query, number, series

_ACTIONS: Final = {"approve": GREEN, "challenge": YELLOW, "decline": RED}
_LATE: Final = "job:cardwatch_stream_late_decisions"


def _step(quantile: str) -> str:
    return (
        f"histogram_quantile({quantile},"
        " sum by (step, le) (rate(cardwatch_stream_step_seconds_bucket[$__rate_interval])))"
    )


def _batch(quantile: str) -> str:
    return (
        f"histogram_quantile({quantile},"
        " sum by (le) (rate(cardwatch_stream_batch_transactions_bucket[$__rate_interval])))"
    )


def stream() -> Dashboard:
    """Is everything decided, in time, by the model; does the store follow; do the workers live."""
    return board(
        "stream",
        "stream",
        "Decisions, their latency, the backlog, the feature store, and the processes.",
        [
            Section("Now", _now()),
            Section("Decisions in time", _in_time()),
            Section("Backlog and store", _backlog()),
            Section("What goes wrong", _wrong()),
            Section("Processes", _processes()),
        ],
    )


def _now() -> list[Panel]:
    return [
        number(
            "Decisions a second",
            "Decisions of record. Zero with a backlog: look at the workers.",
            Query("job:cardwatch_stream_decisions:rate1m", "decisions"),
            unit="none",
            runbook="lag-growing",
            decimals=1,
        ),
        number(
            "Latency, 99th percentile",
            "From the arrival in the log to the decision. The objective: 99 % within half a second.",
            Query("job:cardwatch_stream_latency_seconds:p99_rate1m", "p99"),
            unit="s",
            runbook="latency-budget-burning",
            steps=((None, GREEN), (0.25, YELLOW), (0.5, RED)),
        ),
        number(
            "Backlog",
            "Transactions in the log and not yet decided.",
            Query("job:cardwatch_stream_lag_records:sum", "transactions"),
            unit="none",
            runbook="lag-growing",
            steps=((None, GREEN), (1_000, YELLOW), (10_000, RED)),
        ),
        number(
            "Decided by the rules",
            "Part of the decisions that were made without the model.",
            Query("job:cardwatch_stream_degraded:ratio_rate1m", "degraded"),
            unit="percentunit",
            runbook="decisions-degraded",
            steps=((None, GREEN), (0.01, RED)),
            decimals=1,
        ),
        number(
            "Partitions owned",
            "By all workers together: as many as the topic has. Fewer: some are being handed over, or nobody has them.",
            Query("sum(cardwatch_stream_partitions)", "partitions"),
            unit="none",
            runbook="process-down",
        ),
        firing(),
    ]


def _in_time() -> list[Panel]:
    return [
        series(
            "Decisions by action",
            "A second. The sum is the traffic, unless there is a backlog.",
            Query("job_action:cardwatch_stream_decisions:rate1m", "{{action}}"),
            unit="none",
            runbook="lag-growing",
            colours=_ACTIONS,
            stacked=True,
        ),
        series(
            "Latency",
            "From the arrival in the log to the decision. Beside it are the steps, which say where it goes.",
            Query("job:cardwatch_stream_latency_seconds:p50_rate1m", "median"),
            Query("job:cardwatch_stream_latency_seconds:p99_rate1m", "99th percentile"),
            unit="s",
            runbook="latency-budget-burning",
            limit=0.5,
        ),
        series(
            "Error budget, how fast it burns",
            "1: it lasts a month to the day. 14.4 for an hour, or 50 for five minutes, calls somebody.",
            Query(f"{_LATE}:ratio_rate1m / 0.01", "1 m"),
            Query(f"{_LATE}:ratio_rate5m / 0.01", "5 m"),
            Query(f"{_LATE}:ratio_rate30m / 0.01", "30 m"),
            Query(f"{_LATE}:ratio_rate1h / 0.01", "1 h"),
            Query(f"{_LATE}:ratio_rate6h / 0.01", "6 h"),
            unit="none",
            runbook="latency-budget-burning",
            limit=14.4,
        ),
        series(
            "Steps, median",
            "Time of a batch in each step of the commit order. `score` waits for the scoring service, `commit` for the"
            " broker, `apply` for the feature store, `fold` is the kernel and reading the store.",
            Query(_step("0.5"), "{{step}}"),
            unit="s",
            runbook="latency-budget-burning",
        ),
        series(
            "Steps, 99th percentile",
            "The same for the slowest batch in a hundred. `score` at five seconds: the scoring service did not answer.",
            Query(_step("0.99"), "{{step}}"),
            unit="s",
            runbook="latency-budget-burning",
        ),
        series(
            "Batch size",
            "Transactions that are decided together. It grows with the traffic and after a wait; 2,000 is the most.",
            Query(_batch("0.5"), "median"),
            Query(_batch("0.99"), "99th percentile"),
            unit="none",
            runbook="lag-growing",
        ),
    ]


def _backlog() -> list[Panel]:
    return [
        series(
            "Backlog by partition",
            "From the next position to the end of the log. One partition alone: its worker, or one card with very many"
            " transactions.",
            Query("job_partition:cardwatch_stream_lag_records:max", "{{partition}}"),
            unit="none",
            runbook="lag-growing",
        ),
        series(
            "Backlog in seconds of work",
            "Its low tide of a minute, at the pace of that minute. A gap: there is a backlog and nobody works.",
            Query("job:cardwatch_stream_lag_seconds:min1m", "seconds"),
            unit="s",
            runbook="lag-growing",
            limit=5,
        ),
        series(
            "Backlog grows by",
            "Transactions a second, over two minutes. Below zero: it is being caught up with.",
            Query("job:cardwatch_stream_lag_records:deriv2m", "transactions"),
            unit="none",
            runbook="lag-growing",
        ),
        series(
            "Not yet in the store, by partition",
            "Decided, and not folded into the feature store: the gap that a crash left. The partition waits until it is"
            " closed.",
            Query("max by (partition) (cardwatch_stream_unapplied_records)", "{{partition}}"),
            unit="none",
            runbook="store-behind",
        ),
        series(
            "Feature store",
            "Its size; about 2 KB a card.",
            Query("max(cardwatch_store_bytes)", "bytes"),
            unit="bytes",
            runbook="store-behind",
        ),
        series(
            "Cards in the store",
            "Cards that have ever paid. A fall: the store was lost and is folded again.",
            Query("max(cardwatch_store_cards)", "cards"),
            unit="none",
            runbook="store-behind",
        ),
    ]


def _wrong() -> list[Panel]:
    return [
        series(
            "Decided by the rules, by cause",
            "`no_champion`: there is no model. `scoring`: the service does not answer, or not in time. `model`: it was"
            " made for other features. `table`: the reference table is stale or damaged.",
            Query("job_cause:cardwatch_stream_degraded:ratio_rate1m", "{{cause}}"),
            unit="percentunit",
            runbook="decisions-degraded",
            limit=0.01,
        ),
        series(
            "Dead letters and repeats",
            "Since the workers were started. A dead letter is no transaction; a repeat was decided before, and gets no"
            " second decision.",
            Query("sum(cardwatch_stream_dead_letters_total)", "dead letters"),
            Query("sum(cardwatch_stream_repeats_total)", "repeats"),
            unit="none",
            runbook="dead-letters",
            colours={"dead letters": RED},
        ),
        series(
            "Started again",
            "How often a worker threw a batch away and went on from what is committed. `superseded`: another has its"
            " partitions. `broker`, `store`: that part was away.",
            Query("sum by (cause) (cardwatch_stream_restarts_total)", "{{cause}}"),
            unit="none",
            runbook="process-not-ready",
        ),
    ]


def _processes() -> list[Panel]:
    return [
        series(
            "Ready",
            "1: it does its work. 0: it waits, and its /readyz says for what. The scoring service has its champion.",
            Query("cardwatch_ready", "{{job}} {{instance}}"),
            unit="none",
            runbook="process-not-ready",
        ).max(1),
        series(
            "Memory",
            "Resident. A container that reaches its `mem_limit` is ended and started again. The scoring service does"
            " not say its own.",
            Query("process_resident_memory_bytes", "{{job}} {{instance}}"),
            unit="bytes",
            runbook="process-restarting",
        ),
        series(
            "Processor",
            "Cores in use. A worker at one core is at its limit: start another (`--scale stream=2`).",
            Query("rate(process_cpu_seconds_total[$__rate_interval])", "{{job}} {{instance}}"),
            unit="none",
            runbook="lag-growing",
        ),
    ]
