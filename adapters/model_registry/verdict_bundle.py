"""The bundle of a verdict: everything that it rests on, as files from which it can be computed again offline.

    rows.parquet    the judged rows: scores and decisions of the models, labels, weights, cards as numbers, slices
    policy.json     costs of decisions, and requirements of the gate
    inputs.json     days, digests of the models, log positions, label coverage, feature parity, scoring times
    verdict.json    the verdict, with all measurements and the seed of the resamples
    manifest.json   the SHA-256 of each of these files

The digest of a bundle is that of its files, like that of a model; the registry keeps it as a tag of the model version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct, structs
from numpy.typing import NDArray

from adapters.runtime.files import read_folder
from cardwatch.decision.control_share import ControlShare
from cardwatch.decision.cost_policy import ACTIONS, CHANNELS, DecisionPolicy
from cardwatch.errors import CorruptVerdict
from cardwatch.events import Action, Channel
from cardwatch.promotion.evidence import Evidence, JudgedInputs, JudgedModel
from cardwatch.promotion.gate import judge
from cardwatch.promotion.policy import PromotionPolicy
from cardwatch.promotion.verdict import VerdictReport
from cardwatch.registry import digest_of

ROWS_FILE: Final = "rows.parquet"
POLICY_FILE: Final = "policy.json"
INPUTS_FILE: Final = "inputs.json"
VERDICT_FILE: Final = "verdict.json"
MANIFEST_FILE: Final = "manifest.json"

_TOLERANCE: Final = 1e-9
"""Relative difference of numbers that is rounding: libraries of linear algebra add in different orders."""
_MODELS: Final = ("challenger", "champion", "refit")
_BASELINE, _SLICE, _OVERLAY = "baseline_", "slice_", "overlay_action"

T = TypeVar("T")


class BundlePolicy(Struct, frozen=True, kw_only=True):
    """The content of `policy.json`."""

    decision: DecisionPolicy
    promotion: PromotionPolicy


class VerdictBundle(Struct, frozen=True, kw_only=True):
    """The verdict and what it rests on."""

    evidence: Evidence
    inputs: JudgedInputs
    decision: DecisionPolicy
    promotion: PromotionPolicy
    report: VerdictReport

    def files(self) -> dict[str, bytes]:
        """Return the files by name. Equal bundles give equal bytes."""
        files = {
            ROWS_FILE: _rows_to_parquet(self.evidence),
            POLICY_FILE: _json(BundlePolicy(decision=self.decision, promotion=self.promotion)),
            INPUTS_FILE: _json(self.inputs),
            VERDICT_FILE: _json(self.report),
        }
        return {**files, MANIFEST_FILE: _json(_digests(files))}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> VerdictBundle:
        """Return the bundle of these files. Raises `CorruptVerdict`."""
        policy = decoded(files, POLICY_FILE, BundlePolicy)
        return cls(
            evidence=_rows_from_parquet(_content(files, ROWS_FILE)),
            inputs=decoded(files, INPUTS_FILE, JudgedInputs),
            decision=policy.decision,
            promotion=policy.promotion,
            report=decoded(files, VERDICT_FILE, VerdictReport),
        )


def read_bundle_files(folder: Path) -> dict[str, bytes]:
    """Return the files of the bundle in `folder`. Raises `CorruptVerdict` if there is none."""
    if not (folder / MANIFEST_FILE).is_file():
        raise CorruptVerdict(f"{folder} has no {MANIFEST_FILE}: it is not the bundle of a verdict")
    return read_folder(folder)


def check_bundle(files: Mapping[str, bytes], digest: str | None = None) -> list[str]:
    """Return what is wrong with a bundle, in sentences; an empty list means that the verdict holds.

    The files are compared with the manifest, and the verdict with the one that follows from the rows and the policy.
    Who changes all of them consistently is found by the `digest` that the registry recorded.
    Raises `CorruptVerdict` if a file is missing or cannot be read.
    """
    recorded = decoded(files, MANIFEST_FILE, dict[str, str])
    found = _digests({name: content for name, content in files.items() if name != MANIFEST_FILE})
    faults = [
        f"{name} {'is not in the manifest' if name not in recorded else 'was changed after the verdict'}"
        for name in sorted(found)
        if recorded.get(name) != found[name]
    ]
    faults += [f"{name} is missing" for name in sorted(set(recorded) - set(found))]
    if digest is not None and (actual := digest_of(files)) != digest:
        faults.append(f"the bundle has digest {actual}, the registry recorded {digest}")
    bundle = VerdictBundle.from_files(files)
    decision = (
        bundle.decision if _counts_control_share(files) else structs.replace(bundle.decision, control=ControlShare())
    )
    again = judge(bundle.evidence, bundle.inputs, decision=decision, promotion=bundle.promotion)
    faults += _rows_of_other_days(bundle)
    return faults + _differences(msgspec.to_builtins(bundle.report), msgspec.to_builtins(again), "verdict")


def decoded(files: Mapping[str, bytes], name: str, kind: type[T]) -> T:
    """Return the content of one file of a bundle, which is JSON. Raises `CorruptVerdict`."""
    try:
        return msgspec.json.decode(_content(files, name), type=kind)
    except msgspec.DecodeError as error:
        raise CorruptVerdict(f"{name} cannot be read: {error}") from error


def _counts_control_share(files: Mapping[str, bytes]) -> bool:
    """Return whether the verdict counts the control share: those of former versions do not (decision 25).

    Their inputs do not say how many rows have no rate either.
    """
    return "unpriced" in decoded(files, INPUTS_FILE, dict[str, Any])["label_coverage"]


def _rows_of_other_days(bundle: VerdictBundle) -> list[str]:
    inputs, judged = bundle.inputs, bundle.evidence.days.astype("datetime64[D]")
    excluded = np.array(inputs.excluded_days, "datetime64[D]")
    first, until = np.datetime64(inputs.judged_from), np.datetime64(inputs.judged_until)
    strange = int(((judged < first) | (judged >= until) | np.isin(judged, excluded)).sum())
    return [f"{ROWS_FILE} has {strange} rows of days that are not among the judged ones"] if strange else []


def _differences(stored: Any, computed: Any, where: str) -> list[str]:
    """Sentences on what differs between two trees of built-in values."""
    if isinstance(stored, dict) and isinstance(computed, dict):
        keys = sorted(set(stored) | set(computed))
        return [fault for key in keys for fault in _differences(stored.get(key), computed.get(key), f"{where}.{key}")]
    if isinstance(stored, list) and isinstance(computed, list) and len(stored) == len(computed):
        return [
            fault
            for place, (old, new) in enumerate(zip(stored, computed, strict=True))
            for fault in _differences(old, new, f"{where}[{place}]")
        ]
    if isinstance(stored, float) and isinstance(computed, int | float):
        if abs(stored - computed) <= _TOLERANCE * max(abs(stored), abs(computed), 1e-3):
            return []
    elif stored == computed:
        return []
    return [f"{where}: the bundle says {stored!r}, its rows give {computed!r}"]


def _rows_to_parquet(evidence: Evidence) -> bytes:
    columns: dict[str, Any] = {
        "day": pa.array(evidence.days.astype(np.int32)).cast(pa.date32()),
        "card": evidence.cards,
        "amount_minor": evidence.amount_minor,
        "channel": _names(evidence.channels, CHANNELS),
        "is_fraud": evidence.is_fraud,
        "weight": evidence.weight,
    }
    if evidence.overlay is not None:
        columns[_OVERLAY] = _names(evidence.overlay, ACTIONS)
    for name, model in zip(_MODELS, (evidence.challenger, evidence.champion, evidence.refit), strict=True):
        if model is not None:
            columns[f"{name}_margin"] = model.margins
            columns[f"{name}_probability"] = model.probabilities
            columns[f"{name}_action"] = _names(model.actions, ACTIONS)
    columns |= {
        f"{_BASELINE}{name}_action": _names(taken, ACTIONS) for name, taken in sorted(evidence.baselines.items())
    }
    columns |= {
        f"{_SLICE}{division}": pa.array(names.tolist(), pa.string()).dictionary_encode()
        for division, names in sorted(evidence.slices.items())
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return bytes(sink.getvalue())


def _rows_from_parquet(content: bytes) -> Evidence:
    try:
        table = pq.read_table(pa.BufferReader(content))
        models = {name: _judged_model(table, name) for name in _MODELS if f"{name}_margin" in table.column_names}
        return Evidence(
            days=table["day"].cast(pa.int32()).to_numpy().astype(np.int64),
            cards=table["card"].to_numpy(),
            amount_minor=table["amount_minor"].to_numpy(),
            channels=_places(table, "channel", CHANNELS).astype(np.int64),
            is_fraud=table["is_fraud"].to_numpy().astype(np.bool_),
            weight=table["weight"].to_numpy(),
            challenger=models["challenger"],
            champion=models.get("champion"),
            refit=models.get("refit"),
            baselines={
                name.removeprefix(_BASELINE).removesuffix("_action"): _places(table, name, ACTIONS)
                for name in table.column_names
                if name.startswith(_BASELINE)
            },
            slices={
                name.removeprefix(_SLICE): np.array(table[name].to_pylist(), np.str_)
                for name in table.column_names
                if name.startswith(_SLICE)
            },
            overlay=_places(table, _OVERLAY, ACTIONS) if _OVERLAY in table.column_names else None,
        )
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        raise CorruptVerdict(f"{ROWS_FILE} cannot be read: {error}") from error


def _judged_model(table: pa.Table, name: str) -> JudgedModel:
    return JudgedModel(
        margins=table[f"{name}_margin"].to_numpy(),
        probabilities=table[f"{name}_probability"].to_numpy(),
        actions=_places(table, f"{name}_action", ACTIONS),
    )


def _names(places: NDArray[np.integer[Any]], values: Sequence[Action] | Sequence[Channel]) -> pa.Array[Any]:
    return pa.DictionaryArray.from_arrays(places, [value.value for value in values])


def _places(table: pa.Table, column: str, values: Sequence[Action] | Sequence[Channel]) -> NDArray[np.int8]:
    place_of = {value.value: place for place, value in enumerate(values)}
    return np.array([place_of[str(name)] for name in table[column].to_pylist()], np.int8)


def _digests(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value)) + b"\n"


def _content(files: Mapping[str, bytes], name: str) -> bytes:
    if name not in files:
        raise CorruptVerdict(f"{name} is missing")
    return files[name]
