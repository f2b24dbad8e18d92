"""The chain of an estimate, computed by hand from round figures."""

from __future__ import annotations

import pytest

from cardwatch.errors import Misconfigured
from cardwatch.estimator.aws_design import AWS_STEPS
from cardwatch.estimator.estimator import EstimateResult, Estimator
from cardwatch.estimator.expression import names_in
from cardwatch.estimator.measurements import MEASUREMENTS, measured_figures
from cardwatch.estimator.quantities import Basis, KnownFigure, Unit, computed, steps_of, tree_of
from cardwatch.estimator.stream_design import ASSUMPTIONS, CODE, STREAM_SECTIONS, STREAM_STEPS

MEASURED = {
    "stream_worker_processor": 50.0,
    "stream_scoring_processor": 10.0,
    "stream_broker_processor": 8.0,
    "stream_log_bytes": 1_500.0,
    "stream_backlog_memory": 200.0,  # MB
    "scoring_memory": 500.0,
    "stream_killed_taken_over": 6.0,
    "replay": 1_000_000.0,
}
OTHERS = {
    "leader_takeover": 8.0, "base_transaction_bytes": 300.0, "transactions_a_card_and_day": 2.0, "most_cards": 4e9,
    "hours_a_month": 730.0, "machine_price": 1.0, "disk_kept": 0.1, "zone_data": 0.02, "s3_kept": 0.02,
}  # fmt: skip


def known(name: str, value: float) -> KnownFigure:
    return KnownFigure(name=name, title=name, unit=Unit.COUNT, value=value, basis=Basis.MEASURED, source="the test")


ESTIMATOR = Estimator(
    known=(*ASSUMPTIONS, *CODE, *measured_figures(MEASURED), *(known(*each) for each in OTHERS.items())),
    sections=STREAM_SECTIONS,
)


def estimate(**given: float) -> EstimateResult:
    return ESTIMATOR.estimate({"transaction_bytes": 300, **given})


def test_a_rate_an_interviewer_says_becomes_parts() -> None:
    """40,000/s: 2 s of work a second for workers at 50 us, 3.33 cores at 60 %; scoring 0.4, 0.67; brokers
    40,000 * 24 us = 0.96, 1.6 cores, which three brokers have. Bytes: 40,000 * 1,500 * 3 = 180 MB/s, one broker."""
    found = estimate(tps=40_000, cards_given=100e6).values
    assert found["worker_cores"] == pytest.approx(10 / 3)
    assert (found["workers"], found["partitions"], found["scoring_workers"]) == (4, 8, 1)
    assert (found["broker_cores"], found["brokers_by_time"], found["brokers_by_bytes"], found["brokers"]) == (
        2,
        3,
        1,
        3,
    )
    assert found["cores"] == 4 + 1 + 24


def test_states_memory_and_machines() -> None:
    """100 million states of 2,004 bytes are 200.4 GB, a fifth of them in memory; with 4 * 0.2, 0.5 and 3 * 8 GB that is
    65.38 GB, three machines of 32 GB, where 29 cores would need two."""
    found = estimate(tps=40_000, cards_given=100e6).values
    assert found["states"] == 200.4e9
    assert found["states_written"] == pytest.approx(80.16e6)
    assert found["memory"] == pytest.approx(0.8e9 + 0.5e9 + 24e9 + 40.08e9)
    assert (found["machines_by_cores"], found["machines_by_memory"], found["machines"]) == (2, 3, 3)


def test_storage_and_dollars() -> None:
    """A day is 40,000 * 86,400 * 1,500 bytes = 5.184 TB, three replicas 15.552 TB, a week 108.864 TB."""
    found = estimate(tps=40_000, cards_given=100e6).values
    assert found["archive_per_day"] == pytest.approx(5.184e12)
    assert found["log_kept"] == pytest.approx(108.864e12)
    assert found["disks"] == pytest.approx((108.864e12 + 2 * 200.4e9) / 0.7)
    assert found["core_dollars"] == 3 * 730
    assert found["disk_dollars"] == pytest.approx(found["disks"] / 1e9 * 0.1)
    assert found["zone_dollars"] == pytest.approx(0.06 * 10 / 3 * 730 * 3_600 * 0.02)  # 60 MB a second
    assert found["archive_dollars"] == pytest.approx(30 * 5_184 * 0.02)
    parts = ("core_dollars", "disk_dollars", "zone_dollars", "archive_dollars")
    assert found["dollars"] == pytest.approx(sum(found[part] for part in parts))
    assert found["dollars_per_million"] == pytest.approx(found["dollars"] / (40_000 * 730 * 3_600 / 1e6))


@pytest.mark.parametrize(
    ("availability", "zones", "regions", "lost", "reached"),
    [
        # A month has 2,628,000 s. Stops cost 8.1 * 6 + 1.1 * 8 = 57.4 s; one zone 0.5 % of a month, 13,140 s; one
        # region 0.01 %, 262.8 s; the loss of a region with two of them 25 s.
        (99.0, 1, 1, 57.4 + 13_140, True),  # 26,280 s allowed
        (99.95, 3, 1, 57.4 + 262.8, True),  # 1,314 s
        (99.99, 3, 2, 57.4 + 25, True),  # 262.8 s
        (99.999, 3, 2, 57.4 + 25, False),  # 26.28 s
    ],
)
def test_zones_and_regions_are_as_few_as_the_availability_allows(
    availability: float, zones: int, regions: int, lost: float, *, reached: bool
) -> None:
    found = estimate(availability=availability)
    assert (found.values["zones"], found.values["regions"]) == (zones, regions)
    assert found.values["expected_loss"] == pytest.approx(lost)
    assert found.checks[0].holds is reached
    assert found.values["core_dollars"] == regions * found.values["machines"] * 730


def test_a_single_zone_has_no_traffic_to_another_and_no_other_to_carry_its_load() -> None:
    found = estimate(availability=99.0)
    assert found.values["zone_dollars"] == 0
    assert found.values["zone_lost_share"] == 0.6
    assert estimate(availability=99.95).values["zone_lost_share"] == pytest.approx(0.9)


def test_labels_decide_how_soon_a_new_model_can_be_there() -> None:
    """1,000/s with labels after 10 days: 864 million unlabelled, then 7 days to judge on and 4 to train on."""
    found = estimate(label_days=10).values
    assert found["unlabelled"] == 864e6
    assert found["reaction_days"] == 10 + 7 + 4
    assert found["training_rows"] == 14 * 86.4e6
    assert found["replay_hours"] == pytest.approx(14 * 86.4e6 / 1e6 / 3_600)
    assert (found["alerts"], found["analysts"]) == (86_400, 864)


def test_checks_say_what_does_not_hold() -> None:
    found = estimate(tps=1_000_000, archive_days=7)
    assert [check.holds for check in found.checks] == [True, True, False, False]
    assert "keep them beside the workers" in found.checks[2].text  # 2 GB/s of states
    assert "more days than the archive keeps" in found.checks[3].text


def test_a_peak_needs_more_parts_and_no_more_storage() -> None:
    mean, peak = estimate(tps=50_000).values, estimate(tps=50_000, peak_factor=2.4).values
    assert (mean["workers"], peak["workers"]) == (5, 10)  # 2.5 and 6 cores of work, at 60 %
    assert mean["log_kept"] == peak["log_kept"]


def test_bytes_that_a_transaction_has_more_are_twice_in_the_log() -> None:
    assert estimate(transaction_bytes=1_000).values["log_bytes"] == 1_500 + 2 * 700


def test_cards_follow_from_the_rate_unless_they_are_given() -> None:
    assert estimate().values["cards"] == 43.2e6
    assert estimate(cards_given=7).values["cards"] == 7


def test_a_figure_has_the_least_certain_basis_of_its_parts() -> None:
    basis = estimate(cards_given=7).basis
    assert basis["cards"] is Basis.GIVEN
    assert basis["states"] is Basis.CODE  # cards that are given, and the size of a state
    assert basis["log_per_second"] is Basis.MEASURED
    assert basis["workers"] is Basis.ASSUMED
    everything_measured = ESTIMATOR.assuming({each.name: each.value for each in ASSUMPTIONS})
    assert set(everything_measured.estimate({}).basis.values()) == {Basis.GIVEN, Basis.CODE, Basis.MEASURED}


def test_assumed_figures_can_be_replaced_and_others_cannot() -> None:
    assert ESTIMATOR.assuming({"utilization": 0.3}).estimate({"tps": 50_000}).values["workers"] == 9  # 2.5 / 0.3
    with pytest.raises(Misconfigured, match="worker_us: no assumed figure has this name; there are utilization, "):
        ESTIMATOR.assuming({"worker_us": 1.0})
    with pytest.raises(Misconfigured, match="utilization: an assumed figure is above 0, not nan"):
        ESTIMATOR.assuming({"utilization": float("nan")})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tps": 0.0}, "transactions per second: 0 is not in 1 to 10,000,000"),
        ({"availability": float("nan")}, r"availability: nan is not in 90 to 99\.9999"),
        ({"rate": 5.0}, "the estimate has no input rate; it has tps"),
    ],
)
def test_impossible_inputs_are_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(Misconfigured, match=message):
        ESTIMATOR.estimate(given)


def test_a_metric_that_was_not_measured_is_named_with_the_command_that_measures_it() -> None:
    without = {name: value for name, value in MEASURED.items() if name != "replay"}
    with pytest.raises(Misconfigured, match="no replay, which the estimate needs: `make bench SUITES=replay`"):
        list(measured_figures(without))


def test_only_steps_that_are_wanted_are_computed_and_what_is_given_is_not() -> None:
    found = computed(STREAM_STEPS, {"worker_cores": 2.5, "partitions_per_worker": 2}, ["partitions"])
    assert found == {"worker_cores": 2.5, "workers": 3, "partitions": 6}


def test_names_are_unique_and_come_before_they_are_used() -> None:
    steps = (*STREAM_STEPS, *AWS_STEPS)
    names = [each.name for each in steps]
    others = [each.name for each in (*ESTIMATOR.known, *ESTIMATOR.inputs, *MEASUREMENTS)]
    assert len(set(names)) == len(names)
    assert not set(names) & set(others)
    for at, each in enumerate(steps):
        assert not set(names_in(tree_of(each))) & set(names[at:]), each.name


def test_every_measured_figure_and_every_assumption_is_part_of_a_formula() -> None:
    used = {name for each in steps_of(STREAM_SECTIONS) for name in names_in(tree_of(each))}
    used |= {name for each in ESTIMATOR.checks for name in names_in(tree_of(each))}
    assert {each.name for each in (*ASSUMPTIONS, *MEASUREMENTS, *CODE)} <= used
