"""The core of Cardwatch: features, decisions, drift and promotion, without servers."""

from typing import Final

__version__: Final = "0.1.0"
"""The version of the package. It is a constant, since images contain the package as files and not as a distribution."""
