"""The outputs that a user asks of an evaluation besides the table and the JSON file."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from adapters.runtime.policy_file import read_policy_file
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.errors import Misconfigured


class Wanted(Struct, frozen=True, kw_only=True):
    """None is what was not asked for. `cards_a_day` is the k of card precision, `confidence` a level in 0..1."""

    score_columns: tuple[str, ...] = ()
    policy_file: Path | None = None
    cards_a_day: int | None = None
    confidence: float | None = None
    scores: Path | None = None
    report: Path | None = None
    truth: Path | None = None


class PolicyFacts(Struct, frozen=True, kw_only=True):
    """The costs that decide. `file` is None for the defaults; amounts are in minor units of the data's currency."""

    file: str | None
    version: str
    costs: DecisionPolicy


def read_policy(path: Path | None, currency: str) -> PolicyFacts:
    """Read the policy, and check that it is meant for the data's currency if it names one; raises `Misconfigured`."""
    if path is None:
        costs = DecisionPolicy()
        return PolicyFacts(file=None, version=costs.version, costs=costs)
    policies = read_policy_file(path)
    if policies.currency not in {None, currency}:
        raise Misconfigured(
            f"policy file {path}: its costs are in {policies.currency}, and the amounts of the data are in {currency};"
            " nothing converts them. Set transaction.currency in the mapping if that is wrong,"
            f" or give the costs in {currency}."
        )
    return PolicyFacts(file=path.name, version=policies.decision.version, costs=policies.decision)
