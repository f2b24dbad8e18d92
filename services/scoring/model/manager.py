"""Follow the aliases of a model source, and swap the champion and the candidate that a worker serves.

The candidate is the version in shadow or canary. A canary that is refused leaves all cards to the champion.

A swap assigns one reference. A request reads the reference once and keeps it until the end, so no answer mixes two
models and no request waits. Models are loaded and warmed up in the polling thread, and their digest covers every byte.

The last champion of a registry is cached on disk. A worker that starts while the registry is unavailable verifies and
serves the cached champion, and reports this in its status.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from msgspec import Struct

from adapters.runtime.addresses import without_userinfo
from cardwatch.decision.canary_cards import is_decided_by_canary
from cardwatch.detector.detector import Detector
from cardwatch.errors import CardwatchError, ModelRefused, NoChampion, RegistryUnavailable
from cardwatch.features.definitions import FEATURES
from cardwatch.registry import CANARY, CHAMPION, SHADOW, ModelSource, ModelVersion
from services.scoring.model.cache import ModelCache

POLL_SECONDS: Final = 2.0
"""Interval between two queries of the aliases. One query costs MLflow 4 ms and the worker 1 ms to read the answer."""
FIRST_REFRESH_TIMEOUT_SECONDS: Final = 3.0
"""Maximum time that a starting worker waits for the first refresh. Before it there is no champion to score with."""

CANDIDATE: Final = "candidate"
"""The role of the version in shadow or canary."""

log = logging.getLogger(__name__)


class LoadedModel(Struct, frozen=True):
    """A detector that is ready to score, and its version."""

    detector: Detector
    version: ModelVersion


class ServedModels(Struct, frozen=True):
    """The models that requests are scored with.

    `candidate` scores the same rows, None if there is none. `canary_share` is the share of the cards that it decides,
    in 0..1, None if it is in shadow.
    """

    champion: LoadedModel | None = None
    candidate: LoadedModel | None = None
    canary_share: float | None = None

    def deciding(self, card_id: str) -> LoadedModel | None:
        """Return the model that decides this card, None without a champion."""
        candidate, share = self.candidate, self.canary_share
        if candidate is None or share is None or self.champion is None:
            return self.champion
        [by_canary] = is_decided_by_canary([card_id], candidate.version.version, share)
        return candidate if by_canary else self.champion

    def by_version(self, version: str | None) -> LoadedModel | None:
        """Return the served model of this version, None if it is not served."""
        served = (self.champion, self.candidate)
        return next((model for model in served if model is not None and model.version.version == version), None)


class RefusedVersion(Struct, frozen=True):
    """A version that an alias points to and that is not served, and why."""

    version: str
    digest: str
    reason: str


class ModelStatus(Struct, frozen=True, kw_only=True):
    """The response of `/v1/model`: the champion, and the candidate with its stage, `shadow` or `canary`.

    `canary_share`: the share of the cards that a canary decides. `problem`: why the aliases cannot be followed at the
    moment, or null.
    """

    version: str | None
    digest: str | None
    refused: RefusedVersion | None
    candidate: str | None
    candidate_stage: str | None
    canary_share: float | None
    candidate_refused: RefusedVersion | None
    problem: str | None


class ModelManager:
    """Hold the served models in `served`. A refused version leaves the previous one in service.

    `folder` holds the cached champion; None disables the cache, for a source that is a local folder. `on_swap` is
    called with the role and the version of each model that is put into service.
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
        self._cache = ModelCache(folder / "champion.msgpack") if folder else None
        self._on_swap = on_swap
        self._poll_seconds = poll_seconds
        self._refreshing = threading.Lock()
        self._stopping, self._refreshed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._poll, name="model-poll", daemon=True)
        self._refused: dict[str, RefusedVersion] = {}
        self._problem: str | None = "the registry has not been queried yet"
        self.served = ServedModels()

    def start(self) -> None:
        """Start the thread that refreshes the models immediately and then every `poll_seconds`."""
        self._thread.start()

    def wait_for_first_refresh(self) -> None:
        """Wait until the first refresh has ended, at most `FIRST_REFRESH_TIMEOUT_SECONDS`."""
        self._refreshed.wait(FIRST_REFRESH_TIMEOUT_SECONDS)

    def stop(self) -> None:
        """Stop the thread and close the source."""
        self._stopping.set()
        self._thread.join()
        self._source.close()

    def status(self) -> ModelStatus:
        """Return the served and refused versions."""
        served = self.served
        champion, candidate = served.champion, served.candidate
        stage = SHADOW if served.canary_share is None else CANARY
        return ModelStatus(
            version=champion.version.version if champion else None,
            digest=champion.version.digest if champion else None,
            refused=self._refused.get(CHAMPION),
            candidate=candidate.version.version if candidate else None,
            candidate_stage=stage if candidate else None,
            canary_share=served.canary_share,
            candidate_refused=self._refused.get(CANDIDATE),
            problem=self._problem,
        )

    def unavailable_reason(self) -> str:
        """Return a message that explains why there is no champion."""
        refused = self._refused.get(CHAMPION)
        return refused.reason if refused else self._problem or "it is being loaded"

    def refresh(self, *, retry_refused: bool = False) -> None:
        """Load and serve the versions that the aliases point to.

        A refused version is loaded again only with `retry_refused`. Errors are kept in `status`, not raised.
        """
        with self._refreshing:
            if retry_refused:
                self._refused = {}
            try:
                self._follow_aliases()
                self._set_problem(None)
            except RegistryUnavailable as error:
                self._set_problem(self._serve_cached_champion(str(error)))
            except NoChampion as error:
                self._set_problem(str(error))
            except Exception as error:  # the polling thread must survive any error
                self._set_problem(
                    str(error) if isinstance(error, CardwatchError) else f"{type(error).__name__}: {error}"
                )

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self.refresh()
            self._refreshed.set()
            self._stopping.wait(self._poll_seconds)

    def _follow_aliases(self) -> None:
        versions, share = self._source.aliases()
        if CHAMPION not in versions:
            raise self._source.no_champion()
        number = versions.get(CANARY) or versions.get(SHADOW)
        share = share if CANARY in versions else None
        if number == versions[CHAMPION]:  # between the two writes of a promotion
            number, share = None, None
        champion = self._load(CHAMPION, versions[CHAMPION], self.served.champion)
        candidate = self.served.candidate
        if candidate and candidate.version.version != number:
            candidate = None
        self._serve(champion, candidate, share)
        if number is None:
            self._refused.pop(CANDIDATE, None)
        else:
            self._serve(champion, self._load(CANDIDATE, number, candidate), share)

    def _serve(self, champion: LoadedModel | None, candidate: LoadedModel | None, share: float | None) -> None:
        """Put both models into service with one assignment, so that a request sees both of one moment."""
        self.served = ServedModels(champion, candidate, share if candidate else None)

    def _load(self, role: str, number: str, current: LoadedModel | None) -> LoadedModel | None:
        """Return this version, loaded, or the current model if this version is refused."""
        refused = self._refused.get(role)
        if refused and refused.version == number:
            return current
        self._refused.pop(role, None)
        if current and current.version.version == number:
            return current
        version = self._source.version(number)
        if version is None:
            raise ModelRefused(f"version {number} under the alias {role} was deleted")
        cache = self._cache if role == CHAMPION else None
        try:
            cached = cache.files_of(version) if cache else None
            files = cached or self._source.files(version)
            model = _loaded(version, files)
        except ModelRefused as error:
            self._refused[role] = RefusedVersion(number, version.digest, str(error))
            log.warning("%s version %s is refused: %s", role, number, error)
            return current
        if cache and not cached:
            cache.write(version, files)
        self._report_swap(role, model)
        return model

    def _serve_cached_champion(self, problem: str) -> str:
        """Serve the cached champion if no champion is served; return `problem`, extended by the outcome."""
        if self._cache is None or self.served.champion is not None:
            return problem
        try:
            cached = self._cache.read()
            if cached is None:
                return problem
            model = _loaded(cached.version, cached.files)
        except ModelRefused as error:
            return f"{problem}; the champion kept in {self._cache.file} cannot be used: {error}"
        self.served = ServedModels(champion=model)
        self._report_swap(CHAMPION, model)
        return f"{problem}; serving version {cached.version.version}, the newest champion that was kept on disk"

    def _report_swap(self, role: str, model: LoadedModel) -> None:
        self._on_swap(role, model.version.version)
        log.info("%s is version %s, digest %s", role, model.version.version, model.version.digest[:12])

    def _set_problem(self, problem: str | None) -> None:
        problem = problem and without_userinfo(problem)
        if problem is not None and problem != self._problem:
            log.warning("%s", problem)
        self._problem = problem


def _loaded(version: ModelVersion, files: dict[str, bytes]) -> LoadedModel:
    """Load a detector and score one row with it, so that lazy compilation does not delay the first request."""
    detector = Detector.from_files(files)
    rows = np.zeros((1, len(FEATURES)), np.float32)
    detector.probabilities(detector.margins(rows))
    detector.reasons(rows)
    return LoadedModel(detector, version)
