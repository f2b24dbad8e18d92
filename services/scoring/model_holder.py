"""Holds the champion: asks the registry for its alias, verifies and warms a new model beside the old one, then swaps.

The swap is the assignment of one reference. Who scores takes the reference once and keeps it for the whole batch, so a
batch is scored by one model, and nobody waits.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Final

import numpy as np
from msgspec import Struct

from adapters.model_registry import ModelRegistry, ModelVersion
from cardwatch.errors import CardwatchError, ModelRefused
from cardwatch.features.table import FEATURES
from models.detector import Detector

POLL_SECONDS: Final = 0.5

log = logging.getLogger(__name__)


class Served(Struct, frozen=True):
    """A detector that answers, and the version that it is."""

    detector: Detector
    version: ModelVersion


class Refused(Struct, frozen=True):
    """A version that the alias points to and that must not answer."""

    version: str
    digest: str
    reason: str


class Status(Struct, frozen=True, kw_only=True):
    """What `/v1/model` says. `problem`: why the champion's version is not known at the moment, if so."""

    version: str | None
    digest: str | None
    refused: Refused | None
    problem: str | None


class ModelHolder:
    """`served` is the model to score with, None until there is one. A refused model leaves the former one in place."""

    def __init__(self, registry: ModelRegistry, folder: Path, *, poll_seconds: float = POLL_SECONDS) -> None:
        self._registry = registry
        self._folder = folder
        self._poll_seconds = poll_seconds
        self._one_at_a_time = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="model-poll", daemon=True)
        self._refused: Refused | None = None
        self._problem: str | None = "the registry has not been asked yet"
        self.served: Served | None = None

    def start(self) -> None:
        """Look at once and then every `poll_seconds`, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join()
        self._registry.close()

    def status(self) -> Status:
        """What is served now, and what stands against the alias being served."""
        served = self.served
        return Status(
            version=served.version.version if served else None,
            digest=served.version.digest if served else None,
            refused=self._refused,
            problem=self._problem,
        )

    def why_not_ready(self) -> str:
        """Why there is no model, for a human."""
        return self._refused.reason if self._refused else self._problem or "it is being loaded"

    def look(self, *, again: bool = False) -> None:
        """Serve what the alias points to, if it is another version. A refused one is tried again only if `again`."""
        with self._one_at_a_time:
            try:
                self._follow(self._registry.champion(), again)
                self._problem = None
            except CardwatchError as error:
                self._note(str(error))
            except Exception as error:
                self._note(f"{type(error).__name__}: {error}")

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self.look()
            self._stopping.wait(self._poll_seconds)

    def _follow(self, champion: ModelVersion, again: bool) -> None:
        identity = (champion.version, champion.digest)
        if self._refused and (self._refused.version, self._refused.digest) == identity and not again:
            return
        if not self.served or (self.served.version.version, self.served.version.digest) != identity:
            try:
                self.served = Served(self._load(champion), champion)
            except ModelRefused as error:
                self._refused = Refused(*identity, str(error))
                log.warning("version %s is refused: %s", champion.version, error)
                return
            log.info("serving version %s, digest %s", champion.version, champion.digest[:12])
        self._refused = None

    def _load(self, version: ModelVersion) -> Detector:
        folder = self._folder / version.version
        self._registry.download(version, folder)
        detector = Detector.load(folder)
        rows = np.zeros((1, len(FEATURES)), np.float32)
        detector.probabilities(detector.margins(rows))
        detector.reasons(rows)
        return detector

    def _note(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("%s", problem)
        self._problem = problem
