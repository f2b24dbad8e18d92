"""Which cards a canary decides."""

from __future__ import annotations

import hashlib

import numpy as np

from cardwatch.decision.canary_cards import is_decided_by_canary, position_of_card

CARDS = [f"card-{number}" for number in range(100_000)]


def test_each_of_100_000_cards_is_decided_as_the_hash_rule_says() -> None:
    """The rule once more, as docs/governance.md states it: the first 53 bits of SHA-256 of `VERSION:CARD`."""
    chosen = is_decided_by_canary(CARDS, "7", 0.1)
    for card, by_canary in zip(CARDS, chosen.tolist(), strict=True):
        hashed = int(hashlib.sha256(f"7:{card}".encode()).hexdigest()[:16], 16) >> 11
        assert by_canary == (hashed / 2**53 < 0.1) == (position_of_card(card, "7") < 0.1)


def test_the_share_of_the_cards_is_the_share_that_was_asked_for() -> None:
    for share in (0.01, 0.1, 0.5):
        found = float(is_decided_by_canary(CARDS, "7", share).mean())
        assert abs(found - share) < 4 * np.sqrt(share * (1 - share) / len(CARDS))


def test_a_larger_share_keeps_the_cards_of_a_smaller_one_and_another_version_gets_others() -> None:
    small, large = (is_decided_by_canary(CARDS, "7", share) for share in (0.1, 0.3))
    assert (large | ~small).all()
    other = is_decided_by_canary(CARDS, "8", 0.1)
    assert abs(float((small & other).mean()) - 0.01) < 0.002  # independent: a tenth of a tenth


def test_no_card_is_chosen_by_a_share_of_nothing_and_every_card_by_the_whole() -> None:
    assert not is_decided_by_canary(CARDS[:1_000], "7", 0.0).any()
    assert is_decided_by_canary(CARDS[:1_000], "7", 1.0).all()
    assert is_decided_by_canary([], "7", 0.5).shape == (0,)
