"""Distances on the globe, with + - x / and a square root only."""

from __future__ import annotations

from typing import Final

import numpy as np

from cardwatch.compiled import compiled

KM_PER_DEGREE: Final = 111.19492664455873
"""Of latitude, on a sphere of 6,371 km."""


@compiled
def degrees_east(from_longitude, to_longitude):  # type: ignore[no-untyped-def]
    """The shorter way round, -180 to 180."""
    east = to_longitude - from_longitude
    if east > 180.0:
        return east - 360.0
    return east + 360.0 if east < -180.0 else east


@compiled
def distance_km(latitude, longitude, other_latitude, other_longitude):  # type: ignore[no-untyped-def]
    """Equirectangular distance. The cosine is Bhaskara I's rational approximation (off by 0.002 at most)."""
    middle = 0.5 * (latitude + other_latitude)
    square = middle * middle
    cosine = (32_400.0 - 4.0 * square) / (32_400.0 + square)
    east = degrees_east(longitude, other_longitude) * cosine
    north = latitude - other_latitude
    return KM_PER_DEGREE * np.sqrt(east * east + north * north)
