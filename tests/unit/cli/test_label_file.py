"""Files with settings of labels, and the words for those that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from cardwatch.errors import Misconfigured
from cardwatch.simulation.label_settings import LabelSettings
from cli.simulate.label_file import read_label_settings

EXAMPLE = Path(__file__).parents[3] / "examples" / "labels" / "bank.yaml"
RIGHT = "unreported_share: 0.1\nchargeback_days: [30, 120]\ndays_ratio: 0.5\n"


def written(folder: Path, text: str) -> Path:
    file = folder / "labels.yaml"
    file.write_text(text)
    return file


def test_a_file_gives_its_settings(tmp_path: Path) -> None:
    expected = LabelSettings(unreported_share=0.1, chargeback_days=(30.0, 120.0), days_ratio=0.5)
    assert read_label_settings(written(tmp_path, RIGHT)) == expected


def test_the_example_is_a_bank_with_a_tail_of_30_to_120_days() -> None:
    assert read_label_settings(EXAMPLE).chargeback_days == (30.0, 120.0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("unreported_share: 0.1", "unreported_share: some", "line 1: unreported_share: Expected `float`, got `str`"),
        ("[30, 120]", "[120, 30]", "line 2: chargeback_days=[120.0, 30.0] must be two numbers in order, above 0"),
        ("[30, 120]", "[30]", "line 2: chargeback_days: Expected `array` of length 2, got 1"),
        ("[30, 120]", "[30, x]", "line 2: chargeback_days: Expected `float`, got `str`"),
        ("days_ratio: 0.5", "days_ratio: 3", "line 3: days_ratio=3.0 must be above 0, and at most 1"),
        (
            "days_ratio: 0.5",
            "days: 3",
            "line 3: days: there is no such field, only chargeback_days, friendly_fraud_days",
        ),
        ("days_ratio", "unreported_share", "line 3: not valid YAML: the key 'unreported_share' is there twice"),
        ("[30, 120]", "\n  - 30\n  - x", "line 4: chargeback_days: Expected `float`, got `str`"),
        (RIGHT, RIGHT + "selection:\n  confirmed_share: 2\n", "line 5: selection.confirmed_share=2.0 must lie in 0..1"),
        (RIGHT, RIGHT + "selection:\n  confirmed_share: x\n", "line 5: selection.confirmed_share: Expected `float`"),
        (RIGHT, RIGHT + "selection: 3\n", "line 4: selection: Expected `object | null`, got `int`"),
        (RIGHT, RIGHT + "selection:\n  shares: 2\n", "line 5: selection.shares: there is no such field"),
        (RIGHT, "- 3\n", "line 1: it needs settings by name"),
        (RIGHT, "", "line 1: it needs settings by name"),
        (RIGHT, "a: b: c", "line 1: not valid YAML"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = written(tmp_path, RIGHT.replace(old, new))
    with pytest.raises(Misconfigured) as refused:
        read_label_settings(file)
    assert str(refused.value).startswith(f"labels {file}: {message}")
