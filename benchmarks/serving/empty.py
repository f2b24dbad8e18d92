"""The smallest service of BentoML's documentation, without options, to measure the start time of BentoML itself."""

from __future__ import annotations

import bentoml


@bentoml.service
class Empty:
    """Return its input."""

    @bentoml.api
    def say(self, text: str) -> str:
        return text
