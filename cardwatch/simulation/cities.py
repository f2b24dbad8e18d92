"""The cities in which cardholders live, travel and shop."""

from __future__ import annotations

from typing import Final

import numpy as np
from msgspec import Struct


class City(Struct, frozen=True):
    """A city with its weights as a home and as a destination of trips."""

    name: str
    country: str
    latitude: float
    longitude: float
    home_weight: float
    travel_weight: float


CITIES: Final = (
    City("Berlin", "DE", 52.520, 13.405, 3.6, 2.0),
    City("Hamburg", "DE", 53.551, 9.994, 1.8, 1.0),
    City("Munich", "DE", 48.137, 11.575, 1.5, 1.2),
    City("Cologne", "DE", 50.938, 6.960, 1.1, 0.8),
    City("Paris", "FR", 48.857, 2.352, 2.2, 3.0),
    City("Lyon", "FR", 45.764, 4.836, 0.8, 0.6),
    City("Marseille", "FR", 43.297, 5.370, 0.9, 0.8),
    City("Madrid", "ES", 40.417, -3.704, 2.4, 1.5),
    City("Barcelona", "ES", 41.385, 2.173, 1.6, 2.5),
    City("Palma", "ES", 39.570, 2.650, 0.2, 2.0),
    City("Rome", "IT", 41.903, 12.496, 2.0, 2.5),
    City("Milan", "IT", 45.464, 9.190, 1.4, 1.2),
    City("Amsterdam", "NL", 52.370, 4.895, 0.9, 2.0),
    City("Brussels", "BE", 50.850, 4.352, 0.7, 0.8),
    City("Vienna", "AT", 48.208, 16.373, 1.6, 1.5),
    City("Lisbon", "PT", 38.722, -9.139, 0.6, 1.6),
    City("Dublin", "IE", 53.350, -6.260, 0.6, 0.8),
    City("Helsinki", "FI", 60.170, 24.941, 0.6, 0.4),
    City("Athens", "GR", 37.984, 23.728, 0.7, 1.4),
    City("London", "GB", 51.507, -0.128, 0.4, 2.5),
    City("Prague", "CZ", 50.075, 14.438, 0.2, 1.4),
    City("Warsaw", "PL", 52.230, 21.012, 0.2, 0.7),
    City("Budapest", "HU", 47.498, 19.040, 0.1, 0.9),
    City("Bucharest", "RO", 44.427, 26.103, 0.1, 0.4),
    City("Copenhagen", "DK", 55.676, 12.568, 0.1, 0.8),
    City("Stockholm", "SE", 59.329, 18.069, 0.1, 0.6),
)
COUNTRIES: Final = tuple(city.country for city in CITIES)
LATITUDES: Final = np.array([city.latitude for city in CITIES])
LONGITUDES: Final = np.array([city.longitude for city in CITIES])
HOME_WEIGHTS: Final = np.array([city.home_weight for city in CITIES])
TRAVEL_WEIGHTS: Final = np.array([city.travel_weight for city in CITIES])
