"""Drift that is started from the console: detection, retraining, verdict and swap appear on the page in their order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from adapters.local_stack.stack_home import StackStatus
from cardwatch.simulation.settings import SimulationSettings
from tests.conftest import Require
from tests.e2e.console_page import Page, in_chromium, stack_with_console

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
ORDER = ["Change of the population", "Drift", "Retraining", "Verdict", "Model swap"]
LOOP_SECONDS = 900.0


@pytest.fixture(scope="module")
def status(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackStatus]:
    folder = tmp_path_factory.mktemp("home")
    policy = folder / "policy.toml"
    policy.write_bytes(POLICY)
    with stack_with_console(folder, PLAN, CARDWATCH_POLICY_FILE=str(policy)) as (status, _):
        yield status


def test_drift_from_the_page_ends_in_a_swap_and_the_page_shows_each_step_in_order(
    status: StackStatus, require: Require
) -> None:
    page = Page(status)
    with page.client:
        page.until("the model decides", lambda frame: frame["model"]["serving_version"] is not None, 120.0)
    seen = in_chromium(require, "drift", status, seconds=LOOP_SECONDS)
    assert seen["loads"] == 0
    marks = [mark for mark, _ in seen["events"]]
    begun = marks[marks.index(ORDER[0]) :]
    assert list(dict.fromkeys(mark for mark in begun if mark in ORDER)) == ORDER
    assert seen["events"][marks.index(ORDER[0])][1] == "fault: drift begins"
