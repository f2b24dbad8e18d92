"""Holds the champion, and the challenger in its shadow: follows the aliases of a source and swaps what is served.

The swap is the assignment of one reference. Who scores takes the reference once and keeps it for the whole request, so
nothing is scored by two models, and nobody waits. Models arrive ready to be used, so a swap costs the serving thread
nothing; the digest covers every byte of them.

The newest champion of a registry is kept on disk. A worker that starts while the registry is away goes on with it,
after the same check of the digest, and says so.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from msgspec import Struct

from cardwatch.detector.detector import Detector
from cardwatch.errors import CardwatchError, ModelRefused, NoChampion, RegistryUnavailable
from cardwatch.features.definitions import FEATURES
from cardwatch.registry import CHALLENGER, CHAMPION, ModelSource, ModelVersion
from services.scoring.model.cache import ModelCache, NoModelCache

POLL_SECONDS: Final = 2.0
"""One short question; more would be felt: MLflow works four milliseconds on it, and reading the answer takes one."""
FIRST_LOOK_SECONDS: Final = 3.0
"""So long at most a start waits for the registry: who answers before the first look has no champion to answer with."""

log = logging.getLogger(__name__)


class Served(Struct, frozen=True):
    """A detector that answers, and the version that it is."""

    detector: Detector
    version: ModelVersion


class Serving(Struct, frozen=True):
    """What a request is answered with. `challenger`: None where there is none, or it is the champion itself."""

    champion: Served | None = None
    challenger: Served | None = None


class Refused(Struct, frozen=True):
    """A version that an alias points to and that must not answer."""

    version: str
    digest: str
    reason: str


class Status(Struct, frozen=True, kw_only=True):
    """What `/v1/model` says. `problem`: why the aliases' versions are not known at the moment, if so."""

    version: str | None
    digest: str | None
    refused: Refused | None
    challenger: str | None
    challenger_refused: Refused | None
    problem: str | None


class ModelManager:
    """`serving` is what to score with. A refused model leaves the former one in place.

    `folder` is where the newest champion is kept, None for a source that is on this disk itself. `on_swap` is told the
    name of the role and the version whenever one is taken into service.
    """

    def __init__(
        self,
        source: ModelSource,
        folder: Path | None,
        *,
        on_swap: Callable[[str, str], None] = lambda _role, _version: None,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._source = source
        self._kept = ModelCache(folder / "champion.msgpack") if folder else NoModelCache()
        self._on_swap = on_swap
        self._poll_seconds = poll_seconds
        self._one_at_a_time = threading.Lock()
        self._stopping, self._looked = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._poll, name="model-poll", daemon=True)
        self._refused: dict[str, Refused] = {}
        self._problem: str | None = "no model has been looked for yet"
        self.serving = Serving()

    def start(self) -> None:
        """Look at once and then every `poll_seconds`, in a thread."""
        self._thread.start()

    def await_first_look(self) -> None:
        """Return after the first look, if it is not long."""
        self._looked.wait(FIRST_LOOK_SECONDS)

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join()
        self._source.close()

    def status(self) -> Status:
        """What is served now, and what stands against the aliases being served."""
        champion, challenger = self.serving.champion, self.serving.challenger
        return Status(
            version=champion.version.version if champion else None,
            digest=champion.version.digest if champion else None,
            refused=self._refused.get(CHAMPION),
            challenger=challenger.version.version if challenger else None,
            challenger_refused=self._refused.get(CHALLENGER),
            problem=self._problem,
        )

    def why_not_ready(self) -> str:
        """Why there is no champion, for a human."""
        refused = self._refused.get(CHAMPION)
        return refused.reason if refused else self._problem or "it is being loaded"

    def look(self, *, again: bool = False) -> None:
        """Serve what the aliases point to. A refused version is tried again only if `again`."""
        with self._one_at_a_time:
            if again:
                self._refused = {}
            try:
                self._follow()
                self._note(None)
            except RegistryUnavailable as error:
                self._note(self._go_on_with_the_kept_one(str(error)))
            except NoChampion as error:
                self._note(str(error))
            except Exception as error:  # whatever it is, the next look must come
                self._note(str(error) if isinstance(error, CardwatchError) else f"{type(error).__name__}: {error}")

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self.look()
            self._looked.set()
            self._stopping.wait(self._poll_seconds)

    def _follow(self) -> None:
        aliases = self._source.aliases()
        if CHAMPION not in aliases:
            raise self._source.no_champion()
        champion, shadow = self._take(CHAMPION, aliases[CHAMPION], self.serving.champion), self.serving.challenger
        if shadow and champion and shadow.version == champion.version:
            shadow = None  # it has won
        self.serving = Serving(champion, shadow)
        number = aliases.get(CHALLENGER, aliases[CHAMPION])
        if number == aliases[CHAMPION]:
            self._refused.pop(CHALLENGER, None)
            self.serving = Serving(champion)
        else:
            self.serving = Serving(champion, self._take(CHALLENGER, number, shadow))

    def _take(self, role: str, number: str, held: Served | None) -> Served | None:
        """This version ready to serve in its role, or the one that is held if it must not."""
        refused = self._refused.get(role)
        if refused and refused.version == number:
            return held
        self._refused.pop(role, None)
        if held and held.version.version == number:
            return held
        wanted = self._source.version(number)
        if wanted is None:
            raise ModelRefused(f"version {number} under the alias {role} was deleted")
        try:
            kept = self._kept.files_of(wanted) if role == CHAMPION else None
            files = kept or self._source.files(wanted)
            served = _ready(wanted, files)
        except ModelRefused as error:
            self._refused[role] = Refused(number, wanted.digest, str(error))
            log.warning("%s version %s is refused: %s", role, number, error)
            return held
        if role == CHAMPION and not kept:
            self._kept.keep(wanted, files)
        self._tell(role, served)
        return served

    def _go_on_with_the_kept_one(self, problem: str) -> str:
        """Serve the champion on disk if there is none in memory; gives what there is to say."""
        if self.serving.champion is not None:
            return problem
        try:
            kept = self._kept.read()
            if kept is None:
                return problem
            served = _ready(kept.version, kept.files)
        except ModelRefused as error:
            return f"{problem}; the champion kept in {self._kept.file} cannot be used: {error}"
        self.serving = Serving(champion=served)
        self._tell(CHAMPION, served)
        return f"{problem}; serving version {kept.version.version}, the newest champion that was kept on disk"

    def _tell(self, role: str, served: Served) -> None:
        self._on_swap(role, served.version.version)
        log.info("%s is version %s, digest %s", role, served.version.version, served.version.digest[:12])

    def _note(self, problem: str | None) -> None:
        if problem is not None and problem != self._problem:
            log.warning("%s", problem)
        self._problem = problem


def _ready(version: ModelVersion, files: dict[str, bytes]) -> Served:
    """A detector that has answered once: what is compiled or loaded late is there before it serves."""
    detector = Detector.from_files(files)
    rows = np.zeros((1, len(FEATURES)), np.float32)
    detector.probabilities(detector.margins(rows))
    detector.reasons(rows)
    return Served(detector, version)
