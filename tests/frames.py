"""Frames of the console for tests."""

from __future__ import annotations

from datetime import date

from cardwatch.live.frames import (
    Box,
    BoxState,
    DecisionLine,
    LiveFrame,
    ModelFigures,
    Money,
    SystemState,
    Totals,
    TrafficFigures,
)


def traffic() -> TrafficFigures:
    return TrafficFigures(
        transactions_per_second=0.0,
        by_model_per_second=0.0,
        by_rules_per_second=0.0,
        waiting=0,
        p50_ms=None,
        p99_ms=None,
    )


def live(*, at_ms: float, decisions: int = 0, day: date | None = None) -> LiveFrame:
    """A system that is being recorded, with one box that can be killed."""
    box = Box(name="scoring", state=BoxState.READY, pid=17, address="http://127.0.0.1:1", actions=["kill"])
    return LiveFrame(
        at_ms=at_ms,
        day=day,
        states=[SystemState.RECORDING],
        boxes=[box],
        traffic=traffic(),
        totals=Totals(
            transactions=decisions, decisions=decisions, degraded=0, dead_letters=0, approved=decisions, challenged=0,
            declined=0,
        ),
        money=Money(),
        model=ModelFigures(
            champion_version=None, serving_version=None, drift_state=None, average_precision=None,
            baseline_average_precision=None, label_coverage=None,
        ),
        lanes=[],
    )  # fmt: skip


def payment_line(offset: int, action: str, *, partition: int = 0) -> DecisionLine:
    return DecisionLine(
        partition=partition,
        offset=offset,
        transaction_id=f"t-{offset}",
        card_id="c-1",
        occurred_at="2025-03-01T10:00:00Z",
        amount_minor=1_000,
        currency="EUR",
        channel="ecommerce",
        action=action,
        probability=0.1,
        degraded=False,
        latency_ms=5.0,
        reasons=[],
    )
