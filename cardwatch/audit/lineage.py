"""Where a model comes from: its training, the verdict on it, and who made it decide.

`promotion_of` is the only place that answers who promoted a version.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from cardwatch.registry import ModelVersion

PROMOTED: Final = "promoted"
"""The value of the tag `verdict` of a version that passed the gate."""


class ModelPromotion(Struct, frozen=True, kw_only=True):
    """Who promoted a version, why, and by which verdict. What is not recorded is empty.

    `by` names a flow run or a person, `because` are the reasons, `at` is the time in UTC.
    """

    by: str
    because: list[str]
    verdict: str
    verdict_digest: str
    at: str = ""
    remark: str = ""


def promotion_of(version: ModelVersion) -> ModelPromotion:
    """Return who promoted a version, from the tags of the registry.

    The flow run that trained a version sets the alias if the verdict promotes it; a version that was refused can only
    have decided because somebody moved the alias, which the registry does not record.
    """
    tags = version.tags
    verdict, flow_run = tags.get("verdict", ""), tags.get("flow_run", "")
    is_by_flow = verdict == PROMOTED and flow_run
    remark = ""
    if not is_by_flow:
        remark = "the registry does not record who set the alias"
        if verdict and verdict != PROMOTED:
            remark = f"the verdict {verdict} it, so somebody moved the alias by hand, and {remark}"
    return ModelPromotion(
        by=f"flow run {flow_run}" if is_by_flow else "",
        because=_texts(tags.get("because", "")),
        verdict=verdict,
        verdict_digest=tags.get("verdict_digest", ""),
        remark=remark,
    )


class VerdictLine(Struct, frozen=True, kw_only=True):
    """A sentence of a verdict with measurement and threshold; `result` is passed, FAILED, noted, or empty."""

    result: str
    sentence: str


class ModelLineage(Struct, frozen=True, kw_only=True):
    """A version with its origin. Days are as the registry has them; windows end before their second day.

    `verdict` are the sentences of its verdict, with each check against its threshold. `faults` say what is wrong with
    the verdict's bundle, `note` why there is none. `follows`: whether the verdict was computed again from its rows, and
    is the same.
    """

    version: str
    digest: str
    trained: list[str]
    judged: list[str]
    code_version: str
    promotion: ModelPromotion
    verdict: list[VerdictLine]
    follows: bool
    faults: list[str]
    note: str


def lineage_of(
    version: ModelVersion, reasons: list[str] | None = None, *, faults: list[str] | None = None, note: str = ""
) -> ModelLineage:
    """Return the lineage of a version.

    `reasons` are those of the verdict in its bundle, None without one: then those in the tags are shown. `faults` are
    those of the bundle, None if it was not checked.
    """
    tags = version.tags
    shown = _texts(tags.get("verdict_reasons", "")) if reasons is None else reasons
    return ModelLineage(
        version=version.version,
        digest=version.digest,
        trained=[tags[name] for name in ("trained_from", "trained_until") if name in tags],
        judged=[tags[name] for name in ("judged_from", "judged_until") if name in tags],
        code_version=tags.get("code_version", ""),
        promotion=promotion_of(version),
        verdict=[_line(reason) for reason in shown],
        follows=faults is not None and not faults,
        faults=faults or [],
        note=note,
    )


def _line(reason: str) -> VerdictLine:
    result, separator, sentence = reason.partition(": ")
    if separator and result in {"passed", "FAILED", "noted"}:
        return VerdictLine(result=result, sentence=sentence)
    return VerdictLine(result="", sentence=reason)


def _texts(text: str) -> list[str]:
    """Return a tag that is a JSON array of texts; other text as it is, because people may write tags too."""
    try:
        return msgspec.json.decode(text, type=list[str]) if text else []
    except msgspec.DecodeError:
        return [text]
