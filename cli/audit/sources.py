"""Where an audit finds what it needs: the home of the data, the registry, the policies and the key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import structs

from adapters.archive.reader import Archive
from adapters.local_stack.stack_home import StackHome
from adapters.model_registry.audit_trail import FoundPolicy, bundled_policies, model_lineage
from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.model_registry.model_folder import ModelFolder
from adapters.move_log.sql import SqlMoveLog
from adapters.runtime.addresses import plain, without_userinfo
from adapters.runtime.policy_file import read_policies, read_policy_file
from adapters.runtime.settings import PREFIX, Settings, read_settings, variables_of
from cardwatch.audit.lineage import ModelLineage, lineage_of
from cardwatch.decision.control_share import ControlSample
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.errors import CorruptMoves, Misconfigured, RegistryUnavailable
from cardwatch.ladder.moves import Move, decode_move
from cardwatch.ladder.state import ladder_after
from cardwatch.registry import ModelVersion

_START: Final = (
    "start it (`cardwatch up` starts that of the local stack, with its data), name another one in "
    "CARDWATCH_MLFLOW_URL, or a folder with the files of the model in CARDWATCH_MODEL_FOLDER"
)


def audit_settings() -> Settings:
    """Return the settings of this process, completed by those of a stack in its home.

    If a stack runs there, the addresses are its own. If one ran, and CARDWATCH_HOME itself has no archive, the home is
    the folder of the stack.
    """
    settings = read_settings()
    home = StackHome(settings)
    if (status := home.status()) is not None:
        given = {PREFIX + name: value for name, value in variables_of(PREFIX).items() if name != "HOME"}
        return read_settings({**status.environment, **given})
    if not settings.archive.exists() and (home.folder / settings.archive.name).exists():
        return structs.replace(settings, home=home.folder)
    return settings


def open_archive(settings: Settings) -> Archive:
    """Return the archive. Raises `Misconfigured` if there is none."""
    archive = Archive(settings.archive, settings.index_url)
    if not archive.exists:
        raise Misconfigured(
            f"{settings.archive}: there is no archive; run this where the services run, or name their CARDWATCH_HOME"
        )
    return archive


def read_control_key(settings: Settings) -> ControlSample | None:
    """Return what draws the control share, None without a key. Raises `Misconfigured` for one that is too short."""
    key = plain(settings.control_key).encode()
    if not key:
        return None
    try:
        return ControlSample(key)
    except ValueError as error:
        raise Misconfigured(f"CARDWATCH_CONTROL_KEY: {error}") from error


class AuditedModels:
    """The models of the registry in the settings, or the one in a folder, as a `cardwatch.registry.ModelVersions`.

    Nothing is opened before a model is asked for, because decisions of the rules need none. `moves_fault` says what is
    wrong with the move log, once a lineage was asked for. Methods raise `RegistryUnavailable` if the registry does not
    answer, and `Misconfigured` if there is none.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url, self._folder = plain(settings.mlflow_url), settings.model_folder
        self._opened: MlflowRegistry | ModelFolder | None = None
        self._moves: list[Move] | None = None
        self.moves_fault = ""

    @property
    def where(self) -> str:
        """Address or folder, for people; empty while no model was asked for."""
        if self._opened is None:
            return ""
        return without_userinfo(self._url) if isinstance(self._opened, MlflowRegistry) else str(self._folder)

    def close(self) -> None:
        """Close the connections."""
        if self._opened is not None:
            self._opened.close()

    def version(self, version: str) -> ModelVersion | None:
        """Return a version by its number, None if it does not exist."""
        with _hint():
            return self._source().version(version)

    def files(self, version: ModelVersion) -> dict[str, bytes]:
        """Return the version's files by name. Raises `CorruptModel` if they do not have its digest."""
        with _hint():
            return self._source().files(version)

    def lineage(self, version: str, decided_at_ms: float | None = None) -> ModelLineage | None:
        """Return where a version comes from, None if it does not exist.

        With the time of a decision, who made the version decide is the one who did so before it.
        """
        found = self.version(version)
        if found is None:
            return None
        if self._moves is None:
            self._moves, self.moves_fault = _read_moves(self._settings)
        source = self._source()
        if isinstance(source, MlflowRegistry):
            with _hint():
                return model_lineage(source, found, self._moves, decided_at_ms)
        note = "a folder with a model has no bundle of its verdict"
        return lineage_of(found, note=note, moves=self._moves, decided_at_ms=decided_at_ms)

    def policies(self) -> list[FoundPolicy]:
        """Return the policies in the verdicts of the registry; none without a registry."""
        source = self._source() if self._url else None
        if not isinstance(source, MlflowRegistry):
            return []
        with _hint():
            return list(bundled_policies(source))

    def _source(self) -> MlflowRegistry | ModelFolder:
        if self._opened is None:
            if self._url:
                self._opened = MlflowRegistry(self._url)
            elif self._folder is not None:
                self._opened = ModelFolder(self._folder)
            else:
                raise Misconfigured(
                    f"CARDWATCH_MLFLOW_URL is empty, and an audit scores with the models of the registry: {_START}"
                )
        return self._opened


def _read_moves(settings: Settings) -> tuple[list[Move], str]:
    """Return the moves of the log, and what is wrong with it: then its moves prove nothing, and none is returned."""
    recorded = SqlMoveLog(settings.home, settings.index_url).moves()
    try:
        ladder_after(recorded)
    except CorruptMoves as error:
        return [], f"the log of moves was changed: {error}"
    return [decode_move(move) for move in recorded], ""


@contextmanager
def _hint() -> Iterator[None]:
    """Say what to do if the registry does not answer."""
    try:
        yield
    except RegistryUnavailable as error:
        raise RegistryUnavailable(f"{error}; an audit scores with the stored models: {_START}") from error


class KnownPolicies(Mapping[str, DecisionPolicy]):
    """The policies that are known, by version: that of the policy file, given files, and those in verdicts.

    The verdicts are read when a version is asked for that the files do not have.
    """

    def __init__(self, settings: Settings, former: Sequence[Path], models: AuditedModels) -> None:
        file = settings.policy_file
        current = "the defaults" if file is None else f"policy file {file}"
        found = [FoundPolicy(read_policies(settings).decision, current)]
        found += [FoundPolicy(read_policy_file(path).decision, f"policy file {path}") for path in former]
        self._found = {each.policy.version: each for each in reversed(found)}
        self._models = models
        self._is_complete = False

    def source(self, version: str) -> str:
        """Return where a policy was found, empty if it is not known."""
        return self._found[version].source if version in self else ""

    def __getitem__(self, version: str) -> DecisionPolicy:
        if version not in self._found and not self._is_complete:
            self._is_complete = True
            for each in self._models.policies():
                self._found.setdefault(each.policy.version, each)
        return self._found[version].policy

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)
