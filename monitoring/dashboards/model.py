"""The life of a model: how good it is, whether it decays, and its retrainings."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.dashboards.board import Section, board, firing
from monitoring.dashboards.panels import BLUE, GREEN, PURPLE, RED, YELLOW, Panel, Query, number, series, states

_DAY_SECONDS: Final = 86_400
_LATER_THAN_MATURITY: Final = (
    '1 - sum(increase(cardwatch_archive_label_delay_seconds_bucket{le="432000.0"}[1d]))'
    " / sum(increase(cardwatch_archive_label_delay_seconds_count[1d]))"
)


def _delay(quantile: str) -> str:
    return f"histogram_quantile({quantile}, sum by (le) (increase(cardwatch_archive_label_delay_seconds_bucket[1d])))"


def _date(expr: str) -> str:
    """Grafana counts in milliseconds; what is not known yet is no date in 1970."""
    return f"max({expr} > 0) * 1000"


def model() -> Dashboard:
    """Is it still good, is the world still the same, is it being replaced, do labels and days come."""
    return board(
        "model",
        "model life",
        "How good the champion is, whether it decays, retrainings, and the labels and days that all of it rests on."
        " Days are event time; in a simulation they pass in seconds.",
        [
            Section("Now", _now()),
            Section("Is it still good", _quality()),
            Section("What is done about it", _retraining()),
            Section("Labels and days", _labels()),
            Section("Archive", _archive()),
        ],
    )


def _now() -> list[Panel]:
    return [
        states(
            "State of the champion",
            "Decayed: it has lost more than chance explains. It is retrained once there is something to learn from.",
            Query(
                'max(cardwatch_monitor_state{state="drift suspected"})'
                ' + 2 * max(cardwatch_monitor_state{state="decayed"})',
                "state",
            ),
            {0: ("stable", GREEN), 1: ("drift suspected", YELLOW), 2: ("decayed", RED)},
            width=12,
            runbook="model-decayed",
        ),
        number(
            "Champion",
            "The version that the newest monitored day is about.",
            Query("max(cardwatch_monitor_champion_version)", "version"),
            unit="none",
            runbook="no-champion",
        ),
        number(
            "Newest monitored day",
            "Event time.",
            Query(_date("cardwatch_monitor_day_timestamp_seconds"), "day"),
            unit="dateTimeAsIso",
            runbook="monitor-behind",
        ),
        firing(),
    ]


def _quality() -> list[Panel]:
    return [
        series(
            "Average precision",
            "Of the champion's own decisions on the newest matured days, and of the champion when it was judged. Days"
            " late, and noisy: a week has some 80 frauds.",
            Query("max(cardwatch_monitor_average_precision)", "now"),
            Query("max(cardwatch_monitor_baseline_average_precision)", "when judged"),
            unit="percentunit",
            runbook="model-decayed",
            colours={"now": BLUE, "when judged": PURPLE},
        ).max(1),
        series(
            "Features that have drifted",
            "Part of the watched features whose distribution has moved from the training data. Above the line it counts"
            " as drift; alone it never retrains.",
            Query("max(cardwatch_monitor_drift_share)", "share"),
            unit="percentunit",
            runbook="model-decayed",
            limit=0.15,
        ),
        series(
            "Drifted features and matured frauds",
            "How many features, and how many frauds the average precision rests on: below 30 it is not judged.",
            Query("max(cardwatch_monitor_drifted_features)", "drifted features"),
            Query("max(cardwatch_monitor_matured_frauds)", "matured frauds"),
            unit="none",
            runbook="labels-late",
        ),
    ]


def _retraining() -> list[Panel]:
    return [
        series(
            "Versions",
            "What the scoring service serves. A step of the champion is a promotion.",
            Query("max by (role) (cardwatch_scoring_model_version)", "{{role}}"),
            unit="none",
            runbook="no-champion",
            colours={"champion": GREEN, "challenger": BLUE},
            width=6,
        ),
        series(
            "Retrainings",
            "Since the monitor was started. Refused: the challenger was no better, and the champion stays.",
            Query("sum by (verdict) (cardwatch_monitor_retrainings_total)", "{{verdict}}"),
            unit="none",
            runbook="retraining-failed",
            colours={"promoted": GREEN, "refused": YELLOW, "failed": RED},
            width=6,
        ),
        series(
            "Flow runs",
            "As the Prefect server knows them, of the newest 200. One that is running for long holds up the next.",
            Query("sum by (flow, state) (cardwatch_pipelines_runs)", "{{flow}} {{state}}"),
            unit="none",
            runbook="retraining-failed",
            width=6,
        ),
        series(
            "Duration of the newest run",
            "Grows with the history that is replayed and learned from.",
            Query("max by (flow) (cardwatch_pipelines_run_seconds)", "{{flow}}"),
            unit="s",
            runbook="monitor-behind",
            width=6,
        ),
    ]


def _labels() -> list[Panel]:
    return [
        series(
            "Delay of labels",
            "From the payment to what we learn about it, in event time.",
            Query(_delay("0.5"), "median"),
            Query(_delay("0.9"), "90th percentile"),
            unit="s",
            runbook="labels-late",
            limit=5 * _DAY_SECONDS,
        ),
        series(
            "Labels later than their maturity",
            "Part of the labels that come after five days. A fraud among them is counted as genuine, in training and in"
            " judging; one in a hundred is usual.",
            Query(_LATER_THAN_MATURITY, "later"),
            unit="percentunit",
            runbook="labels-late",
            limit=0.1,
        ),
        series(
            "Labels",
            "Written since the archive was started. Genuine ones come from investigators who cleared a payment.",
            Query("sum by (is_fraud) (cardwatch_archive_labels_total)", "fraud: {{is_fraud}}"),
            unit="none",
            runbook="labels-late",
        ),
        number(
            "Newest simulated day",
            "That the generator has sent whole; only where there is one.",
            Query(_date("cardwatch_generator_day_timestamp_seconds"), "day"),
            unit="dateTimeAsIso",
        ),
        number(
            "Newest transaction",
            "Event time. One with a wrong clock may be ahead of all others.",
            Query(_date("cardwatch_archive_newest_transaction_timestamp_seconds"), "occurred at"),
            unit="dateTimeAsIso",
            runbook="labels-late",
        ),
        number(
            "Newest label",
            "When it was observed, event time.",
            Query(_date("cardwatch_archive_newest_label_timestamp_seconds"), "observed at"),
            unit="dateTimeAsIso",
            runbook="labels-late",
        ),
        number(
            "Newest closed day",
            "All its transactions and decisions are archived, and the next day's reference table is made.",
            Query(_date("cardwatch_archive_closed_day_timestamp_seconds"), "day"),
            unit="dateTimeAsIso",
            runbook="archive-behind",
        ),
        number(
            "Labels behind",
            "From the newest label to the end of the newest closed day.",
            Query("clamp_min(job:cardwatch_archive_labels_behind:seconds, 0)", "event time"),
            unit="s",
            runbook="labels-late",
            steps=((None, GREEN), (2 * _DAY_SECONDS, YELLOW), (3 * _DAY_SECONDS, RED)),
        ),
        number(
            "Monitor behind",
            "From the newest monitored day to the newest closed one.",
            Query("clamp_min(job:cardwatch_monitor_behind_archive:seconds, 0)", "event time"),
            unit="s",
            runbook="monitor-behind",
            steps=((None, GREEN), (3 * _DAY_SECONDS, YELLOW), (5 * _DAY_SECONDS, RED)),
        ),
    ]


def _archive() -> list[Panel]:
    return [
        series(
            "Records not yet read",
            "By topic, from the archive's position to the end of the log.",
            Query("max by (topic) (cardwatch_archive_lag_records)", "{{topic}}"),
            unit="none",
            runbook="archive-behind",
            limit=1_000,
            width=6,
        ),
        series(
            "Waiting to be written",
            "Rows read and not yet in a file, up to 50,000 or a quarter of an hour; and days that have ended and wait.",
            Query("max(cardwatch_archive_buffered_rows)", "rows"),
            Query("max(cardwatch_archive_open_days)", "days"),
            unit="none",
            runbook="archive-behind",
            width=6,
        ),
        series(
            "Rows written",
            "Since the archive was started. Decisions follow transactions.",
            Query("sum by (kind) (cardwatch_archive_rows_total)", "{{kind}}"),
            unit="none",
            runbook="archive-behind",
            width=6,
        ),
        series(
            "On disk",
            "Parquet files. The index beside them is in SQL.",
            Query("max(cardwatch_archive_bytes)", "bytes"),
            unit="bytes",
            runbook="archive-behind",
            width=6,
        ),
    ]
