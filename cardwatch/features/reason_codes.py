"""Descriptions of the reason codes, for cardholders, analysts and the screens of a payment switch.

Each feature names its code in `cardwatch.features.definitions`; `cardwatch.detector.detector` chooses the codes of a
score by exact contributions, and `cardwatch.decision.cost_policy` those of the rules (RULE_*).
"""

from __future__ import annotations

from typing import Final

REASON_TEXTS: Final[dict[str, str]] = {
    "AMOUNT": "the amount itself",
    "AMOUNT_UNUSUAL": "an amount that is unusual for this card or this merchant",
    "AMOUNT_ROUND": "a round amount",
    "VELOCITY": "how often and how much the card has been used lately",
    "VELOCITY_REMOTE": "how often and how much the card has been used remotely lately",
    "VELOCITY_CASH": "how often and how much cash has been drawn with the card lately",
    "VELOCITY_PRESENT": "how often and how much the card has been used in shops lately",
    "CARD_TESTING": "small amounts shortly before, as those who test stolen cards pay them",
    "EARLIER_DECLINES": "earlier attempts with this card were declined",
    "TIME": "the time of the payment, or since the one before",
    "TIME_UNUSUAL": "a time at which this card is not used",
    "PLACE": "a place far from where the card was last or usually is",
    "PLACE_IMPOSSIBLE": "a place that could hardly be reached since the card's last payment",
    "NEW_MERCHANT": "a merchant that is new to this card, or many of them in a day",
    "NEW_CATEGORY": "a kind of merchant that is new to this card",
    "NEW_COUNTRY": "a country that is new to this card",
    "NEW_DEVICE": "a device that is new to this card",
    "CHANNEL": "the way in which the card was presented",
    "CHANNEL_UNUSUAL": "a way of paying that is unusual for this card",
    "CATEGORY": "the kind of merchant",
    "HISTORY": "how little or how much is known about the card",
    "MERCHANT_RISK": "fraud that became known at this merchant",
    "MERCHANT_ACTIVITY": "how much business this merchant does",
    "EXPOSURE": "earlier use at a merchant whose cards later saw fraud elsewhere",
    "SHARED_DEVICE": "a device that several cards use, or how much it is used",
    "DEVICE_RISK": "known fraud with this device",
    "DEVICE_AGE": "how long the device has been known",
    "RULE_SPEED": "rule: too far from the card's last place for the time between",
    "RULE_VELOCITY": "rule: too many payments within an hour",
    "RULE_CARD_TESTING": "rule: several small payments within an hour",
    "RULE_AMOUNT": "rule: a large amount, far above the card's largest so far",
}
