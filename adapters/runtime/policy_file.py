"""Business policy from a TOML file: costs, drift thresholds, training, the promotion gate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, field

from adapters.runtime.renamed_keys import rename_keys
from adapters.runtime.settings import Settings
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.drift.policy import RENAMED_FIELDS, DriftPolicy
from cardwatch.errors import Misconfigured
from cardwatch.promotion.gate import PromotionPolicy
from cardwatch.training_policy import TrainingPolicy

CurrencyCode = Annotated[str, Meta(pattern="^[A-Z]{3}$")]


class Policies(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The tables of the file. Keys that a table omits have their defaults.

    `currency` (ISO 4217) is that of the costs; None if the file does not say. Nothing converts amounts.
    """

    currency: CurrencyCode | None = None
    decision: DecisionPolicy = field(default_factory=DecisionPolicy)
    drift: DriftPolicy = field(default_factory=DriftPolicy)
    promotion: PromotionPolicy = field(default_factory=PromotionPolicy)
    training: TrainingPolicy = field(default_factory=TrainingPolicy)


def read_policies(settings: Settings) -> Policies:
    """Return the policies in `settings.policy_file`, or the defaults without one; raises `Misconfigured`."""
    return Policies() if settings.policy_file is None else read_policy_file(settings.policy_file)


def read_policy_file(path: Path) -> Policies:
    """Return the policies in the TOML file `path`; raises `Misconfigured` with the file and the key."""
    try:
        content = msgspec.toml.decode(path.read_bytes())
        if "drift" in content:
            content["drift"] = rename_keys(content["drift"], RENAMED_FIELDS, f"policy file {path}")
        return msgspec.convert(content, Policies)
    except UnicodeDecodeError as error:
        raise Misconfigured(f"policy file {path}: is not UTF-8 text; is it a TOML file?") from error
    except (OSError, msgspec.DecodeError) as error:
        raise Misconfigured(f"policy file {path}: {error}") from error
