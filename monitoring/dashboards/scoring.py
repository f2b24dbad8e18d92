"""The scoring service as its callers meet it."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.dashboards.board import Section, board, firing
from monitoring.dashboards.panels import BLUE, GREEN, RED, Panel, Query, number, series

_CALLS: Final = '{path=~"/invocations|/v1/.*"}'


def scoring() -> Dashboard:
    """Is it up, with which model, how fast, what does it refuse."""
    return board(
        "scoring",
        "scoring service",
        "Requests, their times, what is refused and which model answers. Added up over the workers of the service.",
        [Section("Now", _now()), Section("Requests", _requests()), Section("Answers", _answers())],
    )


def _now() -> list[Panel]:
    return [
        number(
            "Up",
            "Services that answer. None: the stream decides by the rules.",
            Query('sum(up{job="scoring"})', "services"),
            unit="none",
            runbook="process-down",
            steps=((None, RED), (1, GREEN)),
        ),
        number(
            "Champion",
            "The version that answers; of several workers' the oldest. Nothing: the rules decide everything.",
            Query('cardwatch_scoring_model_version{role="champion"}', "version"),
            unit="none",
            runbook="no-champion",
            steps=((None, GREEN),),
        ),
        number(
            "Requests a second",
            "All paths: the stream's batches, questions, health checks.",
            Query("sum(job_path:cardwatch_scoring_requests:rate1m)", "requests"),
            unit="reqps",
            decimals=1,
        ),
        number(
            "Rows a second",
            "Feature rows that the stream had scored.",
            Query("sum(rate(cardwatch_scoring_rows_total[$__rate_interval]))", "rows"),
            unit="rowsps",
            decimals=1,
        ),
        number(
            "Slowest path, 99th percentile",
            "The slowest of the paths that score. The stream waits five seconds, a question 250 ms unless it says so.",
            Query(f"max(job_path:cardwatch_scoring_seconds:p99_rate1m{_CALLS})", "p99"),
            unit="s",
            runbook="latency-budget-burning",
            steps=((None, GREEN), (0.25, RED)),
        ),
        firing(),
    ]


def _requests() -> list[Panel]:
    return [
        series(
            "Requests by path",
            "`/invocations` is the stream, a batch each; `/v1/score` are questions about one transaction.",
            Query("job_path:cardwatch_scoring_requests:rate1m", "{{path}}"),
            unit="reqps",
        ),
        series(
            "Requests by status",
            "2xx: answered. 4xx: the caller's to correct. 429: over the key's rate. 503: no champion, no store, or no"
            " time; the caller decides by its own rules.",
            Query("sum by (status) (rate(cardwatch_scoring_requests_total[$__rate_interval]))", "{{status}}"),
            unit="reqps",
            runbook="scoring-refuses",
        ),
        series(
            "Refused, part of the requests",
            "Answers 5xx by path. The health check `/readyz` says 503 for as long as there is no champion.",
            Query("job_path:cardwatch_scoring_requests_failed:ratio_rate1m", "{{path}}"),
            unit="percentunit",
            runbook="scoring-refuses",
            limit=0.01,
        ),
        series(
            "Time to answer, median",
            "From a request to its answer, in the service. A batch of the stream takes longer the larger it is.",
            Query("job_path:cardwatch_scoring_seconds:p50_rate1m", "{{path}}"),
            unit="s",
            runbook="latency-budget-burning",
        ),
        series(
            "Time to answer, 99th percentile",
            "One in a hundred takes longer. Above a quarter of a second questions without a deadline of their own are"
            " refused.",
            Query("job_path:cardwatch_scoring_seconds:p99_rate1m", "{{path}}"),
            unit="s",
            runbook="latency-budget-burning",
            limit=0.25,
        ),
        series(
            "Shed",
            "Requests that were refused before any work, to protect the others: past their deadline, too many waiting,"
            " over the key's rate.",
            Query(
                "sum by (why) (rate(cardwatch_scoring_shed_total[$__rate_interval]))"
                ' or label_replace(vector(0), "why", "none shed", "", "")',
                "{{why}}",
            ),
            unit="reqps",
            runbook="scoring-refuses",
        ),
    ]


def _answers() -> list[Panel]:
    return [
        series(
            "Answers to questions",
            "What `/v1/score` says would be decided. Degraded: by the rules, for want of a model, a state or a table."
            " `none`: by neither.",
            Query(
                "sum by (action, degraded) (rate(cardwatch_scoring_answers_total[$__rate_interval]))"
                ' or label_replace(vector(0), "action", "nobody asks", "", "")',
                "{{action}} {{degraded}}",
            ),
            unit="reqps",
            runbook="decisions-degraded",
        ),
        series(
            "Rows of the stream",
            "Feature rows in the stream's batches: as many as transactions are decided.",
            Query("sum(rate(cardwatch_scoring_rows_total[$__rate_interval]))", "rows"),
            unit="rowsps",
        ),
        series(
            "Model versions",
            "What serves in which role. The challenger scores in the shadow and decides nothing.",
            Query("cardwatch_scoring_model_version", "{{role}}"),
            unit="none",
            runbook="no-champion",
            colours={"champion": GREEN, "challenger": BLUE},
        ),
    ]
