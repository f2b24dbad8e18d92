"""How many alerts have a false reason code, on a simulated world: `python -m benchmarks.reason_codes`.

*Before* are the codes that were given until decision 17: those of the features that raise the score most, whatever
their values. They are judged by the conditions of `cardwatch.features.reason_codes`, as are the codes given now.
"""

from __future__ import annotations

import argparse
import sys
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from benchmarks.typologies.recall import simulate
from cardwatch.decision.cost_policy import DecisionPolicy, channels_of
from cardwatch.detector.detector import MAX_REASONS, Detector, strongest_reasons
from cardwatch.events import Action
from cardwatch.features.definitions import REASONS
from cardwatch.features.reason_codes import NEUTRAL_CODE, REASON_CODES, true_codes
from cardwatch.simulation.settings import SimulationSettings
from cli.evaluate.run import HELD_OUT, SETTINGS, prepare
from models.prequential import PrequentialProtocol
from models.training import fit_detector

WARM_UP_DAYS: Final = 6
PROTOCOL: Final = PrequentialProtocol(train_days=28, delay_days=5, test_days=21, folds=1)
"""60 days with the days that only warm the states."""


class Alerts(Struct, frozen=True, kw_only=True):
    """The alerts of a test: their rows, float32 [n, features], and the detector that scored `tested` transactions."""

    detector: Detector
    rows: NDArray[np.float32]
    tested: int


class ReasonAudit(Struct, frozen=True, kw_only=True):
    """The reason codes that n alerts were given, and those that are true of them. Shares are shares of the alerts."""

    before: list[list[str]]
    now: list[list[str]]
    true: list[set[str]]

    @property
    def false_before(self) -> float:
        """Share of alerts with at least one false code before."""
        return _mean([bool(set(codes) - true) for codes, true in zip(self.before, self.true, strict=True)])

    @property
    def false_now(self) -> float:
        """Share of alerts with at least one false code now. The neutral code claims nothing that could be false."""
        return _mean(
            [bool(set(codes) - {NEUTRAL_CODE} - true) for codes, true in zip(self.now, self.true, strict=True)]
        )

    @property
    def neutral(self) -> float:
        """Share of alerts with the neutral code."""
        return _mean([NEUTRAL_CODE in codes for codes in self.now])


def alerts_of(settings: SimulationSettings, protocol: PrequentialProtocol) -> Alerts:
    """Train a detector on a simulated world, and return its alerts by the default costs in the test days."""
    dataset, _ = simulate(settings, WARM_UP_DAYS + protocol.all_days, _report)
    experiment = prepare(dataset, protocol, _report)
    [chosen] = experiment.folds
    rows, held_out = experiment.features.at(chosen.train), dataset.cards[chosen.train] % HELD_OUT == 0
    detector = fit_detector(
        rows[~held_out],
        chosen.known_fraud[~held_out],
        calibration_features=rows[held_out],
        calibration_is_fraud=chosen.known_fraud[held_out],
        settings=SETTINGS,
    ).detector
    tested = experiment.features.at(chosen.test.rows)
    amounts_minor = dataset.kernel["amount_minor"][chosen.test.rows].astype(np.float64)
    probabilities = detector.probabilities(detector.margins(tested))
    actions = DecisionPolicy().decide(probabilities, amounts_minor, channels_of(tested))
    is_alert = np.array([action is not Action.APPROVE for action in actions])
    return Alerts(detector=detector, rows=tested[is_alert], tested=len(tested))


def audit(alerts: Alerts) -> ReasonAudit:
    """Return the codes of these alerts before and now, and those that are true."""
    contributions = alerts.detector.contributions(alerts.rows)
    return ReasonAudit(
        before=[_of_positive(of_row) for of_row in contributions],
        now=strongest_reasons(alerts.rows, contributions),
        true=true_codes(alerts.rows),
    )


def _of_positive(contributions: NDArray[np.float64]) -> list[str]:
    order = np.argsort(-contributions, kind="stable").tolist()
    return list(dict.fromkeys(REASONS[index] for index in order if contributions[index] > 0.0))[:MAX_REASONS]


def _mean(values: list[bool]) -> float:
    return float(np.mean(values)) if values else 0.0


def _report(step: str) -> None:
    print(step, file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description="Count false reason codes of alerts in a simulated world.")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--cards", type=int, default=1_000)
    arguments = parser.parse_args()
    alerts = alerts_of(SimulationSettings(seed=arguments.seed, cards=arguments.cards), PROTOCOL)
    found = audit(alerts)
    print(f"{len(alerts.rows):,} alerts among {alerts.tested:,} transactions")
    print(f"with a false code: {found.false_before:.1%} before, {found.false_now:.1%} now")
    print(f"with {NEUTRAL_CODE}: {found.neutral:.1%}")
    print(f"\n{'code':18} {'true':>6} {'before':>7} {'false':>6} {'now':>6}")
    for code in (*(each.code for each in REASON_CODES), NEUTRAL_CODE):
        true = sum(code in codes for codes in found.true)
        false = sum(code in codes - of_row for codes, of_row in zip(map(set, found.before), found.true, strict=True))
        before, now = (sum(code in codes for codes in given) for given in (found.before, found.now))
        print(f"{code:18} {true:6,} {before:7,} {false:6,} {now:6,}")


if __name__ == "__main__":
    main()
