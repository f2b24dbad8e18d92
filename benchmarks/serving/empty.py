"""The smallest service that BentoML's documentation shows, with no options: how long BentoML itself needs to start."""

from __future__ import annotations

import bentoml


@bentoml.service
class Empty:
    """Says back what it is told."""

    @bentoml.api
    def say(self, text: str) -> str:
        return text
