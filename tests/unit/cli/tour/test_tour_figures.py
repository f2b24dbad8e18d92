"""Figures are shown with their unit and rounding; placeholders name figures that exist."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.figures import SourcedFigure, UnknownUnit, shown
from cli.tour.reading import TourError
from cli.tour.resolving import figures_behind, resolved, resolved_text
from cli.tour.schema import FollowUp, TourQuestion, TourRubric, TourStop

FIGURES = {
    "bench.p99": SourcedFigure(10_051.8, "µs", "latest.json: p99"),
    "bench.rate": SourcedFigure(24_318.45, "decisions/s", "latest.json: rate"),
    "demo.lost": SourcedFigure(0, "", "demo.svg"),
}


@pytest.mark.parametrize(
    ("value", "unit", "options", "text"),
    [
        (24_318.45, "decisions/s", "", "24,300"),
        (208_525, "", "", "208,525"),
        (208_525, "", "2", "210,000"),
        (909_265.0, "transactions per second and core", "million", "0.909 million"),
        (10_051.8, "µs", "", "10,100 µs"),
        (10_051.8, "µs", "ms", "10.1 ms"),
        (10_051.8, "µs", "ms 2", "10 ms"),
        (10_051.8, "us", "bare ms", "10.1"),
        (1.0058, "µs per transaction", "", "1.01 µs"),
        (6.0, "s", "", "6 s"),
        (163.0, "s", "min 2", "2.7 min"),
        (2_004, "bytes", "", "2,004 bytes"),
        (2_004e6, "bytes", "GB", "2 GB"),
        (0.83, "", "3", "0.830"),
        (0.83, "", "", "0.83"),
        (0.553, "", "%", "55.3 %"),
        (0.5008, "%", "", "0.501 %"),
        (9_535_043.2, "$", "million", "$9.54 million"),
        (10_334.5, "$", "", "$10,300"),
        (0, "", "", "0"),
        (0.0, "ms", "", "0 ms"),
        (-0.0154, "", "", "-0.0154"),
    ],
)
def test_a_figure_has_its_unit_and_three_digits(value: float, unit: str, options: str, text: str) -> None:
    assert shown(SourcedFigure(value, unit, "a file"), options) == text


@pytest.mark.parametrize(
    ("unit", "options", "message"),
    [
        ("ms", "MB", "kind time has no value in 'MB'"),
        ("", "ms", "kind count has no value in 'ms'"),
        ("ms", "parsec", "'parsec' is no unit"),
        ("ms", "s min", "several units"),
        ("$", "ms", "'ms' is no unit"),
    ],
)
def test_a_unit_that_does_not_fit_is_refused(unit: str, options: str, message: str) -> None:
    with pytest.raises(UnknownUnit, match=message):
        shown(SourcedFigure(1.5, unit, "a file"), options)


def test_a_number_that_is_not_finite_is_refused() -> None:
    with pytest.raises(UnknownUnit, match="no finite number"):
        shown(SourcedFigure(float("nan"), "ms", "a file"))


@given(st.floats(1e-6, 1e12))
def test_rounding_changes_a_figure_by_less_than_a_hundredth(value: float) -> None:
    assert float(shown(SourcedFigure(value, "", "a file")).replace(",", "")) == pytest.approx(value, rel=0.0051)


def test_placeholders_become_figures() -> None:
    text = "p99 {bench.p99|ms} at {bench.rate} per second, {demo.lost} lost"
    assert resolved_text(text, "serving: notes[0]", FIGURES) == "p99 10.1 ms at 24,300 per second, 0 lost"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{bench.rates}", r"serving: notes\[0\]: there is no figure 'bench.rates'; near it are bench.rate"),
        ("{bench.p99|GB}", r"serving: notes\[0\]: \{bench.p99\|GB\}: a figure of kind time has no value in 'GB'"),
        ("{}", r"serving: notes\[0\]: there is no figure ''"),
        ("{bench.rate", r"serving: notes\[0\]: a brace is left over"),
        ("bench.rate}", r"serving: notes\[0\]: a brace is left over"),
    ],
)
def test_a_wrong_placeholder_is_refused_with_stop_and_field(text: str, message: str) -> None:
    with pytest.raises(TourError, match=message):
        resolved_text(text, "serving: notes[0]", FIGURES)


def stop_with(note: str, answer: str) -> TourStop:
    return TourStop(
        id="serving",
        title="Serving",
        minutes=4,
        purpose="Where the time goes.",
        draw=["A bar."],
        boxes=["scoring"],
        notes=[note],
        questions=[TourQuestion(ask="How fast?", answer=answer, see=["README.md"])],
        follow_ups=[FollowUp(ask="And?", point="So.")],
        rubric=TourRubric(senior=["Knows it."], staff=["Proves it."]),
    )


def test_a_stop_is_resolved_everywhere_and_names_the_figures_of_its_answers_once() -> None:
    stop = stop_with("At {bench.rate}.", "{bench.p99|ms}, that is {bench.p99}, and {demo.lost} lost.")
    whole = resolved(stop, stop.id, FIGURES)
    assert whole.notes == ["At 24,300."]
    assert whole.questions[0].answer == "10.1 ms, that is 10,100 µs, and 0 lost."
    [behind] = figures_behind(stop, FIGURES)
    assert [(each.name, each.shown, each.source) for each in behind] == [
        ("bench.p99", "10.1 ms", "latest.json: p99"),
        ("demo.lost", "0", "demo.svg"),
    ]


@pytest.mark.parametrize("note", ["This is **loud**.", "See [here](docs/README.md).", "First.\n# Then"])
def test_markup_in_a_text_is_refused(note: str) -> None:
    stop = stop_with(note, "Yes.")
    with pytest.raises(TourError, match=r"serving: notes\[0\]: .* is markup"):
        resolved(stop, stop.id, FIGURES)


def test_a_wrong_figure_in_a_question_is_refused_with_its_field() -> None:
    stop = stop_with("A note.", "It takes {bench.p50}.")
    with pytest.raises(TourError, match=r"serving: questions\[0\]\.answer: there is no figure 'bench\.p50'"):
        resolved(stop, stop.id, FIGURES)
