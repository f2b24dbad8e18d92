"""The feasible action with the lowest expected cost, and rules for transactions without a probability.

Costs are per transaction in minor units of the policy's currency. Approving fraud costs the part of its amount that we
bear, and a chargeback. A challenge annoys a genuine customer and stops most fraud; it exists only in channels that can
ask for a second factor. A decline stops all fraud, but costs the margin of a genuine sale and some goodwill. So the
threshold on the probability depends on amount and channel: at the same probability a cup of coffee is approved and a
television is challenged. docs/policy.md explains every key, and what its numbers rest on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from math import inf
from typing import Annotated, Final

import msgspec
import numpy as np
from msgspec import Meta, Struct, field
from numpy.typing import NDArray

from cardwatch.decision.control_share import ControlShare
from cardwatch.decision.degraded_rules import DEGRADED_RULES, RuleTerm
from cardwatch.decision.overlay_rules import OverlayRule
from cardwatch.events import Action, Channel
from cardwatch.features.definitions import column

ACTIONS: Final = (Action.APPROVE, Action.CHALLENGE, Action.DECLINE)
"""The order of the columns of `DecisionPolicy.expected_costs`, from the mildest action to the strictest."""

CHANNELS: Final = tuple(Channel)
"""The order of the rows of `DecisionPolicy.costs`."""

_FIRST_CHANNEL: Final = column(f"is_{CHANNELS[0].value}")
_ROUNDING: Final = 1e-12
"""Far more than the relative rounding error of an expected cost, which is a few times 2^-53."""

CurrencyCode = Annotated[str, Meta(pattern="^[A-Z]{3}$", max_length=3)]
_MinorUnits = Annotated[float, Meta(ge=0, le=1e12)]
_Share = Annotated[float, Meta(ge=0, le=1)]
_Rate = Annotated[float, Meta(ge=1e-6, le=1e6)]


class ChannelShares(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A share in 0..1 for each channel."""

    chip: _Share = 1.0
    contactless: _Share = 1.0
    swipe: _Share = 1.0
    ecommerce: _Share = 1.0
    atm: _Share = 1.0
    recurring: _Share = 1.0


class DecisionPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """Costs of mistakes, and thresholds of the rules. Read from the policy file; the version is a hash of the values.

    Costs are at least 0 and at most 10^12 minor units, shares lie in 0..1. `rule_amount` is in major units, like the
    feature `amount`.
    """

    currency: CurrencyCode | None = None
    """Currency of the costs, ISO 4217. None: amounts are taken as they are, whatever their currency."""
    rates: dict[CurrencyCode, _Rate] = field(default_factory=dict)
    """Value of one minor unit of other currencies, in minor units of `currency`."""

    challenge_cost_minor: _MinorUnits = 100.0
    """Cost of challenging a genuine transaction."""
    challenge_stops_fraud: _Share = 0.9
    """Share of fraud that a challenge stops."""
    challenge_channels: tuple[Channel, ...] = (Channel.ECOMMERCE,)
    """Channels in which a challenge is feasible."""
    decline_cost_minor: _MinorUnits = 500.0
    """Cost of declining a genuine transaction, apart from the lost margin."""
    lost_margin: _Share = 0.05
    """Share of the amount that is lost when a genuine transaction is declined."""
    liability: ChannelShares = ChannelShares()
    """Share of an approved fraud's amount that we bear, by channel."""
    liability_after_challenge: ChannelShares = ChannelShares()
    """The same for fraud that has passed a challenge: its merchant has no part in the loss any more."""
    chargeback_fee_minor: _MinorUnits = 0.0
    """Cost of handling the dispute of an approved fraud. Fraud that has passed a challenge is not charged back."""
    alert_cost_minor: _MinorUnits = 0.0
    """Cost of handling an alert, whatever it turns out to be."""
    alert_price_minor: _MinorUnits = 0.0
    """Price of an alert that limits how many there are to what investigators can check (`decision.alert_capacity`)."""

    rules: tuple[OverlayRule, ...] = ()
    """Rules that make decisions stricter, whatever model or degraded rules say."""
    control: ControlShare = ControlShare()
    """Which would-be declines are approved in order to learn their outcome."""

    rule_speed_kmh: float = 1_000.0
    rule_distance_km: float = 500.0
    rule_count_1h: float = 8.0
    rule_small_count_1h: float = 2.0
    rule_amount: float = 1_000.0
    rule_amount_to_max: float = 3.0
    rule_device_frauds: float = 1.0
    rule_merchant_risk: float = 20.0
    """Known fraud of the newest days at a merchant that is new to the card, over the base rate."""
    rule_all_new: bool = True
    """Whether a device, a merchant and a country that are all new to the card fire a rule."""

    @property
    def version(self) -> str:
        """The first 12 hexadecimal digits of a hash over all values."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:12]

    def rate_of(self, currency: str) -> float | None:
        """Return the value of a minor unit of `currency` in minor units of the policy's; None if the policy has none.

        >>> DecisionPolicy(currency="EUR", rates={"JPY": 0.6}).rate_of("JPY")
        0.6
        """
        if self.currency is None or currency == self.currency:
            return 1.0
        return self.rates.get(currency)

    def expected_costs(
        self, probabilities: NDArray[np.float64], amounts_minor: NDArray[np.float64], channels: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the expected cost of each action in minor units, float64 [n, 3], in the order of `ACTIONS`.

        `channels` as `channels_of` returns them. An action that the channel does not have costs infinity.
        """
        from cardwatch.decision.expected_costs import expected_costs  # noqa: PLC0415 (numba is slow to import)

        expected = np.empty((len(probabilities), len(ACTIONS)), np.float64)
        expected_costs(probabilities, amounts_minor, channels, self.costs, expected)
        return expected

    def decide(
        self, probabilities: NDArray[np.float64], amounts_minor: NDArray[np.float64], channels: NDArray[np.int64]
    ) -> list[Action]:
        """Return the feasible action with the lowest expected cost for each transaction, on ties the milder one.

        >>> online = np.full(3, CHANNELS.index(Channel.ECOMMERCE))
        >>> DecisionPolicy().decide(np.array([0.001, 0.02, 0.9]), np.full(3, 10_000.0), online)
        [<Action.APPROVE: 'approve'>, <Action.CHALLENGE: 'challenge'>, <Action.DECLINE: 'decline'>]
        """
        return [ACTIONS[place] for place in self.choose(probabilities, amounts_minor, channels).tolist()]

    def choose(
        self, probabilities: NDArray[np.float64], amounts_minor: NDArray[np.float64], channels: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the actions of `decide` as places in `ACTIONS`, int64 [n]."""
        from cardwatch.decision.expected_costs import cheapest_actions  # noqa: PLC0415 (as above)

        choices = np.empty(len(probabilities), np.int64)
        cheapest_actions(probabilities, amounts_minor, channels, self.costs, choices)
        return choices

    @cached_property
    def costs(self) -> NDArray[np.float64]:
        """The costs that compiled functions take, float64 [channels, 8]; `expected_costs.py` names the columns."""
        passed = 1.0 - self.challenge_stops_fraud
        alert = self.alert_cost_minor + self.alert_price_minor
        return np.array(
            [
                (
                    getattr(self.liability, channel.value),
                    self.chargeback_fee_minor,
                    passed * getattr(self.liability_after_challenge, channel.value),
                    self.challenge_cost_minor,
                    alert if channel in self.challenge_channels else inf,
                    self.decline_cost_minor,
                    self.lost_margin,
                    alert,
                )
                for channel in CHANNELS
            ],
            np.float64,
        )

    def alarming_probabilities(
        self, amounts_minor: NDArray[np.float64], channels: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the probability below which a transaction of each amount is certainly approved, float64 [n].

        At that probability approving costs as much as challenging or declining, less what rounding may change. Scorers
        compute reasons for the rows above it only.
        """
        loss, fee, passed, friction, fixed, declined, margin, decline_fixed = self.costs[channels].T
        approving = loss * amounts_minor + fee
        passing = passed * amounts_minor
        declining = declined + margin * amounts_minor
        challenge_from = _break_even(friction + fixed, approving + friction, passing)
        decline_from = _break_even(declining + decline_fixed, approving + declining, np.zeros_like(passing))
        return np.clip(np.minimum(challenge_from, decline_from), 0.0, 1.0) * (1.0 - 1e-9)

    def decide_by_rules(self, features: NDArray[np.float32]) -> tuple[list[Action], list[list[str]]]:
        """Return actions and reasons without a model, from float32 [n, features].

        Rules challenge but never decline: where no challenge is feasible, nine in ten of their hits are genuine
        (docs/policy.md). There they approve, without a reason. A missing feature fires no rule.
        """
        fired, feasible = self._fired_rules(features), self._can_challenge(features)
        reasons = [[code for code, hits in fired.items() if feasible[i] and hits[i]] for i in range(len(features))]
        return [Action.CHALLENGE if codes else Action.APPROVE for codes in reasons], reasons

    def are_challenged_by_rules(self, features: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return which rows `decide_by_rules` challenges, bool [n]; it approves the others."""
        challenged: NDArray[np.bool_] = np.logical_or.reduce(list(self._fired_rules(features).values()))
        return challenged & self._can_challenge(features)

    def _can_challenge(self, features: NDArray[np.float32]) -> NDArray[np.bool_]:
        feasible: NDArray[np.bool_] = np.array([channel in self.challenge_channels for channel in CHANNELS])
        return feasible[channels_of(features)]

    def _fired_rules(self, features: NDArray[np.float32]) -> dict[str, NDArray[np.bool_]]:
        """Return for each degraded rule in which rows it fires, bool [n], whatever the channel."""
        fired = {
            code: np.logical_and.reduce([term.holds_for(features, self._limit_of(term)) for term in terms])
            for code, terms in DEGRADED_RULES.items()
        }
        fired["RULE_ALL_NEW"] &= self.rule_all_new
        return fired

    def degraded_rule(self, code: str) -> list[tuple[RuleTerm, float]]:
        """Return the terms of a degraded rule, each with its limit; none for a code that is no such rule."""
        return [(term, self._limit_of(term)) for term in DEGRADED_RULES.get(code, ())]

    def _limit_of(self, term: RuleTerm) -> float:
        return term.limit if isinstance(term.limit, float) else float(getattr(self, term.limit))


def channels_of(features: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the channel of each feature row, float32 [n, features], as its position in `CHANNELS`, int64 [n]."""
    codes: NDArray[np.int64] = (features[:, _FIRST_CHANNEL : _FIRST_CHANNEL + len(CHANNELS)] == 1.0).argmax(axis=1)
    return codes


def incurred_cost_minor(
    policy: DecisionPolicy,
    actions: Sequence[Action],
    is_fraud: NDArray[np.bool_],
    amounts_minor: NDArray[np.float64],
    channels: NDArray[np.int64],
) -> float:
    """Return the total cost of these actions in minor units, given which transactions were fraud."""
    costs = policy.expected_costs(is_fraud.astype(np.float64), amounts_minor, channels)
    chosen = np.array([ACTIONS.index(action) for action in actions], np.int64)
    return float(np.take_along_axis(costs, chosen[:, None], axis=1).sum())


def _break_even(
    fixed: NDArray[np.float64], gained: NDArray[np.float64], lost: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return a probability p below which p * (gained - lost) > fixed is false, however its terms are rounded.

    `fixed` may be infinite; all are at least 0. Where no probability is high enough, more than 1 is returned.
    """
    slope = gained - lost + _ROUNDING * (gained + lost)
    with np.errstate(all="ignore"):
        return np.where(slope > 0.0, fixed * (1.0 - _ROUNDING) / slope, inf)
