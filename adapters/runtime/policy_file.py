"""Business policy from a TOML file: costs, drift thresholds, the promotion gate."""

from __future__ import annotations

import msgspec
from msgspec import Struct, field

from adapters.runtime.renamed_keys import rename_keys
from adapters.runtime.settings import Settings
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.drift.policy import RENAMED_FIELDS, DriftPolicy
from cardwatch.errors import Misconfigured
from cardwatch.promotion.gate import PromotionPolicy


class Policies(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The tables of the file. Keys that a table omits have their defaults."""

    decision: DecisionPolicy = field(default_factory=DecisionPolicy)
    drift: DriftPolicy = field(default_factory=DriftPolicy)
    promotion: PromotionPolicy = field(default_factory=PromotionPolicy)


def read_policies(settings: Settings) -> Policies:
    """Return the policies in `settings.policy_file`, or the defaults without one; raises `Misconfigured`."""
    if settings.policy_file is None:
        return Policies()
    try:
        content = msgspec.toml.decode(settings.policy_file.read_bytes())
        if "drift" in content:
            content["drift"] = rename_keys(content["drift"], RENAMED_FIELDS, f"policy file {settings.policy_file}")
        return msgspec.convert(content, Policies)
    except (OSError, msgspec.DecodeError) as error:
        raise Misconfigured(f"policy file {settings.policy_file}: {error}") from error
