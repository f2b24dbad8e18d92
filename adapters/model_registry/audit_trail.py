"""Reads what an audit needs from a registry: the verdicts on its versions, and the policies in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.model_registry.verdict_bundle import POLICY_FILE, BundlePolicy, VerdictBundle, check_bundle, decoded
from cardwatch.audit.lineage import ModelLineage, lineage_of
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.errors import CorruptVerdict
from cardwatch.ladder.moves import Move
from cardwatch.promotion.verdict import VERDICT_FOLDER
from cardwatch.registry import ModelVersion


class FoundPolicy(NamedTuple):
    """A decision policy, and where it was found."""

    policy: DecisionPolicy
    source: str


def model_lineage(
    registry: MlflowRegistry, version: ModelVersion, moves: Sequence[Move], decided_at_ms: float | None
) -> ModelLineage:
    """Return where a version comes from. The verdict on it is computed again from the rows in its bundle.

    `moves` and `decided_at_ms` as in `cardwatch.audit.lineage.promotion_of`. Raises `RegistryUnavailable`.
    """
    lineage = partial(lineage_of, version, moves=moves, decided_at_ms=decided_at_ms)
    files = registry.run_files(version, VERDICT_FOLDER)
    if not files:
        return lineage(note="no bundle of the verdict is stored: its sentences are those of the tags")
    try:
        faults = check_bundle(files, version.tags.get("verdict_digest", ""))
        reasons = VerdictBundle.from_files(files).report.verdict.reasons
    except CorruptVerdict as error:
        return lineage(faults=[str(error)])
    return lineage(reasons, faults=faults)


def bundled_policies(registry: MlflowRegistry) -> Iterator[FoundPolicy]:
    """Yield the policies in the verdicts of all versions, the newest version first. Raises `RegistryUnavailable`."""
    for version in registry.versions():
        if POLICY_FILE not in registry.run_file_names(version, VERDICT_FOLDER):
            continue
        content = registry.run_file(version, f"{VERDICT_FOLDER}/{POLICY_FILE}")
        try:
            policy = decoded({POLICY_FILE: content}, POLICY_FILE, BundlePolicy).decision
        except CorruptVerdict:
            continue
        yield FoundPolicy(policy, f"verdict on version {version.version}")
