"""The colours of the page: each text on each of its grounds has the contrast that WCAG 2.2 asks for (1.4.3, AA)."""

from __future__ import annotations

import re

import pytest

from services.scoring.openapi.documentation import FILES

PAGE = FILES["/"][0].read_text(encoding="utf-8")
CONTRAST = 4.5
GROUNDS = {
    "text": ("page", "panel", "field"),
    "muted": ("page", "panel", "field"),
    "link": ("page", "panel"),
    "error": ("page", "panel", "field"),
    "bar-text": ("bar",),
    "bar-link": ("bar",),
    "badge-text": ("idle", "good", "bad", "read", "send"),
    "button-text": ("button",),
    "code-text": ("code",),
}
"""The grounds on which each colour of a text stands."""


def colours(scheme: str) -> dict[str, str]:
    """The variables of a colour scheme, as the page defines them."""
    light, dark = re.findall(r":root \{(.*?)\}", PAGE, re.DOTALL)
    return dict(re.findall(r"--([\w-]+): #([0-9a-f]{6});", light if scheme == "light" else dark))


def luminance(colour: str) -> float:
    """The relative luminance by WCAG's definition."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("000000", "ffffff") == pytest.approx(21.0)
    assert contrast("767676", "ffffff") == pytest.approx(4.54, abs=0.005)  # the lightest grey that passes on white
    assert contrast("777777", "ffffff") < CONTRAST


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_on_its_grounds(scheme: str) -> None:
    of = colours(scheme)
    low = [
        f"{text} on {ground}: {contrast(of[text], of[ground]):.2f}"
        for text, grounds in GROUNDS.items()
        for ground in grounds
        if contrast(of[text], of[ground]) < CONTRAST
    ]
    assert low == []


def test_both_schemes_define_every_colour_that_is_used() -> None:
    used = set(re.findall(r"var\(--([\w-]+)\)", PAGE))
    assert used == set(colours("light")) == set(colours("dark"))
    texts_and_grounds = set(GROUNDS) | {ground for grounds in GROUNDS.values() for ground in grounds}
    assert used == texts_and_grounds | {"line"}  # a line is no text
