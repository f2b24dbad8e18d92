"""Fraudsters that react: a group whose transactions are declined tries other amounts, merchants, devices and pace."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cardwatch.simulation.population import Population
from cardwatch.simulation.transaction_array import (
    ATM,
    ECOMMERCE,
    MIN_AMOUNT_MINOR,
    NO_DEVICE,
    Ints,
    TransactionArray,
)

Floats = NDArray[np.float64]

AMOUNT_RATIOS: Final = (1.0, 0.6, 0.3)
"""Amounts that a group can choose, relative to those of its attack."""
PACE_RATIOS: Final = (1.0, 4.0)
"""Time from the start of an incident to each of its transactions, relative to that of its attack."""
OWN_MERCHANTS, ANY_MERCHANTS = range(2)
"""The campaign's merchants, or any ones that many people use."""
OWN_DEVICES, NEW_DEVICES, HIDDEN_DEVICES = range(3)
"""The campaign's devices, a new one for each card, or none that the merchant reports."""
USUAL_TACTIC: Final = 0
"""The tactic of a group that does not react: the first option of each kind."""

_OPTIONS: Final = (len(AMOUNT_RATIOS), 2, 3, len(PACE_RATIOS))
_AMOUNTS, _MERCHANTS, _DEVICES, _PACE = range(4)
_EXPLORATION: Final = 0.1
"""Probability with which a group tries any option instead of the best one. Ten per cent is a usual choice."""
_STEP: Final = 0.1
"""Weight of the newest reward in the value of an option. A reward of 20 choices ago has an eighth of that weight, so
that a group unlearns what a new model has made useless."""
_FIRST_DEVICE: Final = 1 << 31
"""Number of the first device that a reaction uses. All others are below it, so that no reaction changes them."""
_CASH_STEP_MINOR: Final = 1_000
"""Cash machines give multiples of this amount."""


class EpsilonGreedyBandit:
    """Choice among a few options whose rewards are unknown and change with time.

    Epsilon-greedy with a constant step size and optimistic initial values: Sutton and Barto, Reinforcement Learning,
    2nd edition 2018, sections 2.4 to 2.6. `highest_rewards` are the largest possible rewards, with which the values
    begin, so that each option is tried before a better one is believed in.

    >>> bandit = EpsilonGreedyBandit((1.0, 0.5))
    >>> bandit.learn(0, 0.0)  # the value of option 0 is now 0.9
    >>> bandit.probabilities().round(3).tolist()
    [0.95, 0.05]
    """

    def __init__(self, highest_rewards: tuple[float, ...]) -> None:
        self._values = np.array(highest_rewards)

    def probabilities(self) -> Floats:
        """Return the probability of each option, float64 [options]. Equally good options are equally probable."""
        is_best = self._values == self._values.max()
        probabilities: Floats = _EXPLORATION / len(is_best) + (1.0 - _EXPLORATION) * is_best / is_best.sum()
        return probabilities

    def choose(self, rng: np.random.Generator) -> int:
        """Draw an option."""
        return int(np.searchsorted(np.cumsum(self.probabilities())[:-1], rng.random(), side="right"))

    def learn(self, option: int, reward: float) -> None:
        """Take note of the reward of a choice, in 0 to the largest possible one."""
        self._values[option] += _STEP * (reward - self._values[option])


class NewDevices:
    """Devices that no one has used before."""

    def __init__(self) -> None:
        self._next = _FIRST_DEVICE

    def of_cards(self, cards: Ints) -> Ints:
        """Return a new device for each distinct card, repeated for each of the card's transactions."""
        distinct, of_card = np.unique(cards, return_inverse=True)
        devices: Ints = self._next + of_card
        self._next += len(distinct)
        return devices


class FraudGroup:
    """The state of the bandits of a group of fraudsters, kept over all of its campaigns.

    It changes nothing before the first decline. From then on it chooses amounts, merchants, devices and pace for each
    incident, each by a bandit of its own. The reward of an amount is what it gains, relative to the usual amount, or 0
    if it is declined; that of the others is 1, or 0 if declined. Tools cost nothing.
    """

    def __init__(self, new_devices: NewDevices) -> None:
        others = (tuple([1.0] * options) for options in _OPTIONS[1:])
        self._bandits = [EpsilonGreedyBandit(rewards) for rewards in (AMOUNT_RATIOS, *others)]
        self._new_devices = new_devices
        self.reacts = False

    def probabilities(self) -> list[Floats]:
        """Return the probabilities of the options for amounts, merchants, devices and pace."""
        return [bandit.probabilities() for bandit in self._bandits]

    def choose(self, rng: np.random.Generator) -> int:
        """Return the tactic of an incident, which is `USUAL_TACTIC` as long as the group does not react."""
        if not self.reacts:
            return USUAL_TACTIC
        return tactic_of(*(bandit.choose(rng) for bandit in self._bandits))

    def learn(self, tactic: int, *, is_declined: bool) -> None:
        """Take note of what became of one transaction."""
        self.reacts |= is_declined
        if not self.reacts:
            return
        for kind, (bandit, option) in enumerate(zip(self._bandits, options_of(tactic), strict=True)):
            gain = AMOUNT_RATIOS[option] if kind == _AMOUNTS else 1.0
            bandit.learn(option, 0.0 if is_declined else gain)

    def carry_out(
        self,
        population: Population,
        rng: np.random.Generator,
        tactic: int,
        incident: TransactionArray,
        start_ms: int,
        *,
        keeps_merchants: bool = False,
    ) -> None:
        """Change the transactions of one incident, which starts at `start_ms`, by a tactic.

        The channels stay as they are, so that new merchants are of the same kind and in the same city. Devices are
        changed online only. `keeps_merchants`: the attack works at the campaign's merchants only.
        """
        options = options_of(tactic)
        incident["tactic"] = tactic
        is_online, is_cash = incident["channel"] == ECOMMERCE, incident["channel"] == ATM
        amount = np.rint(incident["amount_minor"] * AMOUNT_RATIOS[options[_AMOUNTS]]).astype(np.int64)
        cash = np.maximum(amount // _CASH_STEP_MINOR, 1) * _CASH_STEP_MINOR
        incident["amount_minor"] = np.where(is_cash, cash, np.maximum(amount, MIN_AMOUNT_MINOR))
        if options[_MERCHANTS] == ANY_MERCHANTS and not keeps_merchants:
            online = population.merchants.online.draw_ungrouped(rng, len(incident))
            shops = population.merchants.shops.draw(rng, population.merchants.city[incident["merchant"]])
            incident["merchant"] = np.where(is_online, online, np.where(is_cash, incident["merchant"], shops))
        if options[_DEVICES] == NEW_DEVICES:
            incident["device"] = np.where(is_online, self._new_devices.of_cards(incident["card"]), incident["device"])
        elif options[_DEVICES] == HIDDEN_DEVICES:
            incident["device"][is_online] = NO_DEVICE
        passed = (incident["occurred_at_ms"] - start_ms) * PACE_RATIOS[options[_PACE]]
        incident["occurred_at_ms"] = start_ms + passed.astype(np.int64)


class FraudGroups:
    """The groups of all attacks. There are as many as there were campaigns at a time, so that memory is bounded."""

    def __init__(self) -> None:
        self._groups: dict[tuple[int, int], FraudGroup] = {}
        self._new_devices = NewDevices()

    def reacting(self, typology: int, number: int) -> FraudGroup | None:
        """Return a group of a typology by its number, None if it does not react yet."""
        group = self._groups.get((typology, number))
        return group if group is not None and group.reacts else None

    def learn(self, fraud: TransactionArray, is_declined: NDArray[np.bool_]) -> None:
        """Let the groups see which of their n transactions, in order of time, were declined, bool [n]."""
        columns = (fraud[name].tolist() for name in ("typology", "group", "tactic"))
        for typology, number, tactic, declined in zip(*columns, is_declined.tolist(), strict=True):
            group = self._groups.setdefault((typology, number), FraudGroup(self._new_devices))
            group.learn(tactic, is_declined=declined)

    def __len__(self) -> int:
        """Return how many groups are remembered."""
        return len(self._groups)


def tactic_of(amounts: int, merchants: int, devices: int, pace: int) -> int:
    """Return the number of a tactic, 0 to 35, from its options: positions in the constants above."""
    return int(np.ravel_multi_index((amounts, merchants, devices, pace), _OPTIONS))


def options_of(tactic: int) -> tuple[int, ...]:
    """Return the options of a tactic: positions of amounts, merchants, devices and pace."""
    return tuple(int(option) for option in np.unravel_index(tactic, _OPTIONS))
