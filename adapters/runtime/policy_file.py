"""Business policy from a TOML file: costs, the case queue, drift thresholds, training, the promotion gate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field, structs

from adapters.runtime.addresses import plain
from adapters.runtime.renamed_keys import refuse_keys, rename_keys
from adapters.runtime.settings import Settings
from cardwatch.cases.policy import CasePolicy
from cardwatch.decision.control_share import ControlSample
from cardwatch.decision.cost_policy import CurrencyCode, DecisionPolicy
from cardwatch.drift.policy import RENAMED_FIELDS, DriftPolicy
from cardwatch.errors import Misconfigured
from cardwatch.ladder.policy import LadderPolicy
from cardwatch.promotion.policy import REMOVED_FIELDS, PromotionPolicy, contradictions
from cardwatch.training_policy import TrainingPolicy


class Policies(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The tables of the file. Keys that a table omits have their defaults.

    `owner` is who answers for the models, as model cards name it. `currency` (ISO 4217) is that of the costs; None if
    the file does not say, and then amounts are taken as they are. `decision` has it too.
    """

    owner: Annotated[str, Meta(min_length=1, max_length=200)] | None = None

    currency: CurrencyCode | None = None
    decision: DecisionPolicy = field(default_factory=DecisionPolicy)
    drift: DriftPolicy = field(default_factory=DriftPolicy)
    promotion: PromotionPolicy = field(default_factory=PromotionPolicy)
    ladder: LadderPolicy = field(default_factory=LadderPolicy)
    training: TrainingPolicy = field(default_factory=TrainingPolicy)
    cases: CasePolicy = field(default_factory=CasePolicy)


def read_policies(settings: Settings) -> Policies:
    """Return the policies in `settings.policy_file`, or the defaults without one; raises `Misconfigured`."""
    return Policies() if settings.policy_file is None else read_policy_file(settings.policy_file)


def read_control(settings: Settings, policy: DecisionPolicy) -> ControlSample | None:
    """Return what chooses the transactions of the policy's control share, None if it has none.

    Raises `Misconfigured` if it has one and `settings.control_key` is missing or too short; the key is not shown.
    """
    if not policy.control.share:
        return None
    try:
        return ControlSample(plain(settings.control_key).encode())
    except ValueError as error:
        raise Misconfigured(
            f"CARDWATCH_CONTROL_KEY: {error}; the policy file has a control share (decision.control.share). Set one key"
            " for all processes that decide, for example that of `openssl rand -hex 32` (on AWS as a secret that the"
            " variable control_key_secret_arn of Terraform names), or remove the share"
        ) from error


def read_policy_file(path: Path) -> Policies:
    """Return the policies in the TOML file `path`; raises `Misconfigured` with the file and the key."""
    try:
        content = msgspec.toml.decode(path.read_bytes())
        if "drift" in content:
            content["drift"] = rename_keys(content["drift"], RENAMED_FIELDS, f"policy file {path}")
        refuse_keys(content.get("promotion"), REMOVED_FIELDS, f"policy file {path}: promotion")
        policies = msgspec.convert(content, Policies)
    except UnicodeDecodeError as error:
        raise Misconfigured(f"policy file {path}: is not UTF-8 text; is it a TOML file?") from error
    except (OSError, msgspec.DecodeError) as error:
        raise Misconfigured(f"policy file {path}: {error}") from error
    if found := contradictions(policies.drift, policies.promotion):
        raise Misconfigured(f"policy file {path}: " + "; ".join(found))
    return structs.replace(policies, decision=_in_currency(policies, path, content.get("decision", {})))


def _in_currency(policies: Policies, path: Path, table: dict[str, Any]) -> DecisionPolicy:
    """Return the decision policy with the file's currency; raises `Misconfigured` if both do not go together."""
    where = f"policy file {path}"
    if "currency" in table:
        raise Misconfigured(f"{where}: decision.currency: write the currency at the top of the file, before the tables")
    if policies.decision.rates and policies.currency is None:
        raise Misconfigured(
            f"{where}: decision.rates: the file names no currency that the rates lead to; add `currency`"
        )
    if policies.currency in policies.decision.rates:
        raise Misconfigured(f"{where}: decision.rates: {policies.currency} is the currency of the file and has no rate")
    return structs.replace(policies.decision, currency=policies.currency)
