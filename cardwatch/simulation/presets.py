"""Payments to try the system with: a genuine one, or one incident of a typology of fraud, with a chosen card.

They are made by the attacks of the simulation itself. With the settings of the running world, the card's merchants,
devices and usual amounts are those of its history. Of a card of another world only the shape of the incident is right.
"""

from __future__ import annotations

import inspect
import re
import zlib
from copy import deepcopy
from datetime import UTC, date, datetime, timedelta
from typing import Final

import numpy as np
from msgspec import Struct, structs

from cardwatch.errors import Misconfigured
from cardwatch.events import Transaction, to_epoch_ms
from cardwatch.simulation.calendar_day import calendar_day
from cardwatch.simulation.cards import Cards, Travel
from cardwatch.simulation.emitter import RecordEmitter
from cardwatch.simulation.fraud.attack import Attack
from cardwatch.simulation.fraud.campaign import NOWHERE, Campaign
from cardwatch.simulation.fraud.relay_attack import RelayAttack
from cardwatch.simulation.fraud.simulator import initial_attacks
from cardwatch.simulation.outcomes import AuthorizationOutcomes
from cardwatch.simulation.population import Population
from cardwatch.simulation.random_streams import RandomStreams
from cardwatch.simulation.records_of_day import complete
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.spending import simulate_purchases
from cardwatch.simulation.timeline import regime_of
from cardwatch.simulation.transaction_array import (
    APPROVED,
    DAY_MS,
    MINUTE_MS,
    SECOND_MS,
    UNKNOWN,
    Ints,
    TransactionArray,
    Typology,
    empty_transactions,
)

GENUINE: Final = "genuine"
MAX_DAYS: Final = 800
"""Days for which the world is followed. On later ones its merchants and devices are those of this day."""
_MAX_CARDS: Final = 8
"""Cards of one incident: an enumeration tries a whole range of them."""
_TRIES: Final = 200
_CARD_ID: Final = re.compile(r"card-(\d{6,9})")
_GENUINE_RATE: Final = 3.0
"""Payments a day of the card whose genuine payment is drawn, so that a seldom used card has one, too."""


class Preset(Struct, frozen=True, kw_only=True):
    """`name` for commands, `title` for people; `about` says what happens."""

    name: str
    title: str
    about: str


def presets() -> list[Preset]:
    """Return the genuine payment and all typologies of the simulated world."""
    genuine = Preset(
        name=GENUINE,
        title="Genuine payment",
        about="One ordinary payment of the card, as its holder makes them.",
    )
    return [genuine, *(_preset_of(attack) for attack in _attacks())]


class PresetBuilder:
    """Builds payments from the world of `settings` as it is on an event day. The newest day is kept."""

    def __init__(self, settings: SimulationSettings) -> None:
        self._settings = settings
        self._begin()

    def build(self, name: str, card_id: str, at: datetime, *, seed: int, prefix: str) -> list[Transaction]:
        """Return the payments of one preset in the order of time, all on the event day of `at`.

        They begin at `at`, or earlier if they would reach into the next day, which has no reference table yet.
        Equal arguments give equal payments; ids are `prefix` with a number. Raises `Misconfigured` for an unknown name.
        """
        day = at.astimezone(UTC).date()
        number = self._advance_to(day)
        card, is_of_world = self._card(card_id)
        rng = np.random.default_rng([seed, zlib.crc32(name.encode()), card])
        population = deepcopy(self._population)  # an attack buys devices, and changes ids of merchants
        targeted = _TargetedPopulation(population, card)
        if name == GENUINE:
            made = self._genuine(targeted, rng, number, day, card)
        else:
            made = _incident(targeted, rng, _attack(name), number, to_epoch_ms(at), card)
        made["occurred_at_ms"] = _within_day(made["occurred_at_ms"], to_epoch_ms(at))
        made = made[np.argsort(made["occurred_at_ms"], kind="stable")]
        complete(population.merchants, made)
        outcomes = AuthorizationOutcomes(self._settings.cards).previous(rng, made)
        made["previous_outcome"] = np.where(outcomes == UNKNOWN, APPROVED, outcomes)
        records = RecordEmitter(population).transactions(number, made)
        if is_of_world:
            return [structs.replace(each, transaction_id=f"{prefix}-{i}") for i, each in enumerate(records)]
        return [
            structs.replace(each, transaction_id=f"{prefix}-{i}", card_id=card_id, customer_id=None, card_range=None)
            for i, each in enumerate(records)
        ]

    def _begin(self) -> None:
        self._population = Population(self._settings, RandomStreams(self._settings.seed))
        self._next_day = 0

    def _advance_to(self, day: date) -> int:
        """Let the world reach an event day, and return its number; a day before the first one counts as the first."""
        first = self._settings.first_day
        number = min(max((day - first).days, 0), MAX_DAYS)
        if number < self._next_day - 1:
            self._begin()
        for each in range(self._next_day, number + 1):
            self._population.begin_day(each, calendar_day(first + timedelta(days=each)))
        self._next_day = max(self._next_day, number + 1)
        return number

    def _card(self, card_id: str) -> tuple[int, bool]:
        """Return the index of a card, and whether it is one of this world; any other id stands for some card of it."""
        found = _CARD_ID.fullmatch(card_id)
        if found is not None and int(found[1]) < self._settings.cards:
            return int(found[1]), True
        return zlib.crc32(card_id.encode()) % self._settings.cards, False

    def _genuine(
        self, population: _TargetedPopulation, rng: np.random.Generator, number: int, day: date, card: int
    ) -> TransactionArray:
        rates = np.zeros(population.cards.count)
        rates[card] = _GENUINE_RATE
        population.cards.daily_rate = rates
        today, regime = calendar_day(day), regime_of([], number)
        for _ in range(_TRIES):
            made = simulate_purchases(population, rng, 0, today, regime)
            of_card: TransactionArray = made[made["card"] == card][:1]
            if len(of_card):
                return of_card
        raise Misconfigured("no genuine payment could be drawn")  # with three a day this does not happen


class _TargetedCards(Cards):
    """All cards, of which fraudsters find one."""

    def __init__(self, cards: Cards, card: int) -> None:
        self.__dict__.update(vars(cards))
        self._card = card

    def draw(self, rng: np.random.Generator, count: int) -> Ints:
        """Return the one card each time."""
        del rng
        return np.full(count, self._card, np.int64)


class _TargetedPopulation(Population):
    """The population of a day with its holders at home; fraudsters find one card."""

    def __init__(self, population: Population, card: int) -> None:
        self.merchants, self.devices = population.merchants, population.devices
        self.cards = _TargetedCards(population.cards, card)
        self.travel = Travel(population.cards.home_city)

    def draw_in_city(self, rng: np.random.Generator, city: int, count: int) -> Ints:
        """Return the one card, wherever it is."""
        del city
        return self.cards.draw(rng, count)


def _incident(
    population: _TargetedPopulation,
    rng: np.random.Generator,
    attack: Attack,
    number: int,
    start_ms: int,
    card: int,
) -> TransactionArray:
    """Return the payments of one incident of an attack, with a campaign whose place suits the card."""
    home = int(population.cards.home_city[card])
    made = empty_transactions()
    for tries in range(_TRIES):
        campaign = Campaign(1, 0, number, number + 1, 0.0)
        attack.equip(population, rng, campaign)
        if isinstance(attack, RelayAttack) and campaign.city not in (home, NOWHERE) and tries < _TRIES - 1:
            continue  # the mule merchant is a shop near the holder, where there is one
        campaign.cards = _cards_of(population.cards, rng, attack, card)
        attack.observe(population, rng, campaign, number, empty_transactions())
        made = attack.incidents(population, rng, campaign, np.array([start_ms], np.int64))
        if len(made):
            break
    made["typology"] = attack.typology
    return made


def _cards_of(cards: Cards, rng: np.random.Generator, attack: Attack, card: int) -> Ints:
    if attack.typology is not Typology.ENUMERATION:
        return np.array([card], np.int64)
    others = rng.permutation(np.setdiff1d(cards.of_range(int(cards.card_range[card])), [card]))
    return np.append(others[: _MAX_CARDS - 1], card)


def _within_day(times_ms: Ints, at_ms: int) -> Ints:
    """Return the times of an incident, moved so that it begins at `at_ms` and ends on that day.

    A longer one is compressed to the twelve hours that end with the day, or with its own beginning if that is later.
    """
    passed = times_ms - times_ms.min()
    longest = DAY_MS // 2
    if passed.max() > longest:
        passed = passed * longest // passed.max()
    last_ms = at_ms // DAY_MS * DAY_MS + DAY_MS - SECOND_MS
    begin = min(at_ms, max(last_ms - int(passed.max()), at_ms - longest - MINUTE_MS))
    moved: Ints = begin + passed
    return moved


def _attacks() -> list[Attack]:
    return [*initial_attacks(), RelayAttack()]


def _attack(name: str) -> Attack:
    for attack in _attacks():
        if _name_of(attack) == name:
            return attack
    raise Misconfigured(f"there is no preset {name!r:.40}; there are {', '.join(each.name for each in presets())}")


def _name_of(attack: Attack) -> str:
    return attack.typology.name.lower().replace("_", "-")


def _preset_of(attack: Attack) -> Preset:
    title, about = (inspect.getdoc(type(attack)) or "").split("\n\n")[0].replace("\n", " ").split(": ", 1)
    return Preset(name=_name_of(attack), title=title, about=about[:1].upper() + about[1:])
