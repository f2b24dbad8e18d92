"""The log lines of BentoML, of circus, its supervisor, and of uvicorn in the form of ours.

BentoML sets up logging of its own in each of its processes, with handlers on these three and on the root.
"""

from __future__ import annotations

import logging
from typing import Final

from adapters.runtime.logs import set_up_logging
from adapters.runtime.settings import Settings

_LEVELS: Final = {"bentoml": logging.INFO, "circus": logging.WARNING, "uvicorn.error": logging.WARNING}


def take_over_logging(settings: Settings) -> None:
    """Send every line to where ours go, once; for after BentoML's own setting up."""
    set_up_logging(settings, "scoring")
    for name, level in _LEVELS.items():
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(level)
