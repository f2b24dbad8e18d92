"""Points of compromise: merchants whose cards later saw fraud elsewhere.

A terminal that copies cards, or a shop whose customers' data were stolen, shows no fraud itself. It is found by
what the defrauded cards have in common, as the card schemes' searches for a common point of purchase do: for each
merchant, the number of its cards with a later fraud elsewhere over the number to be expected if all merchants were
equal. Both get
`PRIOR_CARDS`, so that a merchant with few cards is near 1: the mean of the gamma-Poisson model of DuMouchel, "Bayesian
data mining in large frequency tables", The American Statistician 53 (1999), with a fixed prior.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cardwatch.features.distinct_pairs import count_partners
from cardwatch.features.known_frauds import KnownFrauds
from cardwatch.features.reference_days import LOW_BITS, DayOfTransactions, add_to, count, distinct, firsts, pairs
from cardwatch.features.reference_table import COMPROMISED_SECTION, TableSection

PRIOR_CARDS: Final = 1.0
"""Cards with later fraud that are added to the counted and to the expected ones."""
MIN_CARDS: Final = 2
"""Least number of cards with later fraud for a merchant to count as compromised: one proves no common point."""
MIN_COMPROMISE: Final = 1.5
"""Least ratio for a merchant to count as compromised."""


def compromised_merchants(days: Sequence[DayOfTransactions], frauds: KnownFrauds) -> TableSection:
    """Return the compromised merchants of these event days, by the low 32 bits of their hashes, and their ratios.

    A card counts for a merchant if it paid there before its newest known fraud, and none of its known frauds was there.
    """
    if not len(frauds.card) or not days:
        return TableSection.empty(COMPROMISED_SECTION)
    cards = distinct(frauds.card)
    newest_ms = np.zeros(len(cards), np.int64)
    np.maximum.at(newest_ms, np.searchsorted(cards, frauds.card), frauds.occurred_at_ms)
    visits = np.concatenate([day.of_cards(cards) for day in days])
    is_before = visits["occurred_at_ms"] < newest_ms[np.searchsorted(cards, visits["card"])]
    visited = distinct(pairs(visits["merchant"][is_before], visits["card"][is_before]))
    defrauded_there = distinct(pairs(frauds.merchant, frauds.card))
    hit = count(firsts(visited[~np.isin(visited, defrauded_there)]))
    merchants = distinct(np.concatenate([day.merchants.hashes for day in days]) & LOW_BITS)
    hits = np.zeros(len(merchants), np.int64)
    add_to(hits, merchants, hit)
    ratios = _ratios(hits, count_partners([day.merchant_cards for day in days], merchants))
    is_compromised = (hits >= MIN_CARDS) & (ratios >= MIN_COMPROMISE)
    return TableSection(merchants[is_compromised], ratios[is_compromised].astype(np.float32)[:, None])


def _ratios(hits: NDArray[np.int64], cards: NDArray[np.int64]) -> NDArray[np.float64]:
    expected = cards * (hits.sum() / max(int(cards.sum()), 1))
    ratios: NDArray[np.float64] = (hits + PRIOR_CARDS) / (expected + PRIOR_CARDS)
    return ratios
