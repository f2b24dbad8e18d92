"""Business policy from a TOML file: costs, drift thresholds, the promotion gate. Never from the environment."""

from __future__ import annotations

import msgspec
from msgspec import Struct, field

from adapters.runtime.settings import Settings
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.drift.policy import DriftPolicy
from cardwatch.errors import Misconfigured
from cardwatch.promotion.gate import PromotionPolicy


class Policies(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the file each; what a table leaves out has its default."""

    decision: DecisionPolicy = field(default_factory=DecisionPolicy)
    drift: DriftPolicy = field(default_factory=DriftPolicy)
    promotion: PromotionPolicy = field(default_factory=PromotionPolicy)


def read_policies(settings: Settings) -> Policies:
    """The policies in `settings.policy_file`, or the defaults without one. Raises `Misconfigured` with the key."""
    if settings.policy_file is None:
        return Policies()
    try:
        return msgspec.toml.decode(settings.policy_file.read_bytes(), type=Policies)
    except (OSError, msgspec.DecodeError) as error:
        raise Misconfigured(f"policy file {settings.policy_file}: {error}") from error
