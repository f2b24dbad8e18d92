"""Reliability plot as SVG: observed fraud rate by predicted probability, on logarithmic axes.

It is written as text, so that training needs no plotting library and the same numbers give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from models.reliability import ReliabilityPoint

_LEFT, _TOP, _SIDE = 70, 30, 400
_DECADES: Final = 6
"""Powers of ten on each axis: from 10^-6 to 1. What is lower is drawn at the edge."""


def reliability_svg(points: Sequence[ReliabilityPoint], title: str) -> str:
    """Return the plot of these points, with the diagonal of perfect calibration and the 95 % interval of each point."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _SIDE + 30} {_TOP + _SIDE + 60}" '
            'font-family="sans-serif" font-size="12">',
            '<rect width="100%" height="100%" fill="white"/>',
            f'<text x="{_LEFT}" y="18" font-size="13">{title}</text>',
            *_axes(),
            f'<path d="M{_x(0.0)} {_y(0.0)}L{_x(1.0)} {_y(1.0)}" stroke="#999" stroke-dasharray="4 4" fill="none"/>',
            *(line for point in points for line in _marks(point)),
            "</svg>\n",
        ]
    )


def _axes() -> list[str]:
    lines = [f'<rect x="{_LEFT}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}" fill="none" stroke="#333"/>']
    for exponent in range(-_DECADES, 1):
        value, name = 10.0**exponent, "1" if exponent == 0 else f"1e{exponent}"
        lines += [
            f'<text x="{_x(value)}" y="{_TOP + _SIDE + 18}" text-anchor="middle">{name}</text>',
            f'<text x="{_LEFT - 8}" y="{_y(value) + 4:.1f}" text-anchor="end">{name}</text>',
        ]
    middle = _TOP + _SIDE / 2
    return [
        *lines,
        f'<text x="{_LEFT + _SIDE / 2}" y="{_TOP + _SIDE + 42}" text-anchor="middle">predicted probability</text>',
        f'<text transform="translate(18 {middle}) rotate(-90)" text-anchor="middle">observed fraud rate</text>',
    ]


def _marks(point: ReliabilityPoint) -> list[str]:
    x = _x(point.probability)
    return [
        f'<path d="M{x} {_y(point.low)}L{x} {_y(point.high)}" stroke="#1f5fa8"/>',
        f'<circle cx="{x}" cy="{_y(point.rate)}" r="4" fill="#1f5fa8">'
        f"<title>predicted {point.probability:.3g}, observed {point.rate:.3g} of {point.weight:,.0f}</title></circle>",
    ]


def _x(value: float) -> float:
    return round(_LEFT + _SIDE * _place(value), 1)


def _y(value: float) -> float:
    return round(_TOP + _SIDE * (1.0 - _place(value)), 1)


def _place(value: float) -> float:
    """Return where a rate lies between the ends of an axis, 0..1."""
    return min(max(1.0 + math.log10(value) / _DECADES, 0.0), 1.0) if value > 0 else 0.0
