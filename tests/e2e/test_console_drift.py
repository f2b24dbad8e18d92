"""Drift that is started from the console: detection, retraining, verdict and swap appear on the page in their order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from cardwatch.simulation.settings import SimulationSettings
from tests.deadlines import Deadline
from tests.e2e.console_page import Page, stack_with_console

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

PLAN = {
    "world": SimulationSettings(seed=13, cards=700, fraud_share=0.012),
    "history_days": 60,
    "history_in_step": True,
    "live_days": None,
    "days_after_promotion": None,
}
"""Live days go in step: a day takes as long as archive and monitor need for it, one or two seconds."""
POLICY = b"""
[promotion]
error_rate_per_trial = 0.1
error_rate_per_month = 0.5

[training]
calibration_folds = 3
"""
"""As in tests/e2e/test_loop.py: a week of 700 cards has too few frauds for the default error rates."""
ORDER = ["change", "drift", "retraining", "verdict", "swap"]
LOOP_SECONDS = 600.0


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("home")
    policy = folder / "policy.toml"
    policy.write_bytes(POLICY)
    with stack_with_console(folder, PLAN, CARDWATCH_POLICY_FILE=str(policy)) as (status, _):
        page = Page(status)
        with page.client:
            yield page


def test_drift_from_the_page_ends_in_a_swap_and_the_page_sees_each_step_in_order(page: Page) -> None:
    page.until("the model decides", lambda frame: frame["model"]["serving_version"] is not None, 120.0)
    assert page.switch("drift", "on", 3_600.0).status_code == 204
    deadline, first_seen = Deadline(LOOP_SECONDS), dict[str, str]()
    with closing(page.frames()) as frames:  # one connection: the page is not loaded again
        for frame in frames:
            assert not deadline.has_passed(), f"only {first_seen} within {deadline.elapsed_seconds:.0f} s"
            if frame["type"] == "event" and frame["kind"] in ORDER:
                first_seen.setdefault(frame["kind"], frame["text"])
            if "swap" in first_seen:
                break
    assert list(first_seen) == ORDER
    assert first_seen["change"] == "fault: drift begins"
