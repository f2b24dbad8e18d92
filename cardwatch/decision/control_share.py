"""The control share: a known part of the would-be declines is approved, so that their outcome becomes known.

Which transactions these are depends on nothing but their ids and a secret key, so that replay chooses the same ones and
nobody without the key can tell which ones will be approved. An analysis weights each by 1 / share (Horvitz and Thompson
1952). Above the cap nothing is approved, so about larger amounts only bounds are known.
"""

from __future__ import annotations

import hmac
from typing import Annotated, Final

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

MINIMUM_KEY_BYTES: Final = 16


class ControlShare(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which would-be declines of the model are approved: none by default."""

    share: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """Share of them, which is the propensity that their decisions record."""
    cap_minor: Annotated[float, Meta(ge=0, le=1e12)] = 0.0
    """Largest amount that is approved so, in minor units of the policy's currency."""

    @property
    def largest_minor(self) -> float | None:
        """The largest amount about which control rows tell, in minor units; None if the share is 0."""
        return self.cap_minor if self.share else None

    def __post_init__(self) -> None:
        """Raise `ValueError` for a share without a cap, which would approve nothing."""
        if self.share and not self.cap_minor:
            raise ValueError("a control share needs cap_minor, the largest amount that is approved so")

    def covers(
        self, by_model: NDArray[np.bool_], amounts_minor: NDArray[np.float64] | NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Return from which of n transactions the share is drawn, bool [n].

        `by_model`: bool [n], the declines of the model that no rule of the policy file has touched. Amounts are in
        minor units of the policy's currency, NaN where they are not known.

        >>> ControlShare(share=0.1, cap_minor=500.0).covers(np.array([True, True]), np.array([500.0, 501.0])).tolist()
        [True, False]
        """
        covered: NDArray[np.bool_] = by_model & (amounts_minor <= self.cap_minor) & (self.share > 0.0)
        return covered


class ControlSample:
    """Chooses transactions by HMAC-SHA256 of their ids. Raises `ValueError` for a key of less than 16 bytes."""

    def __init__(self, key: bytes) -> None:
        if len(key) < MINIMUM_KEY_BYTES:
            raise ValueError(f"the key of the control share has less than {MINIMUM_KEY_BYTES} bytes")
        self._key = key

    def contains(self, transaction_id: str, share: float) -> bool:
        """Return whether the transaction is chosen, as a share of all ids is; a larger share keeps those chosen.

        >>> sample = ControlSample(b"a key of at least 16 bytes")
        >>> sample.contains("t-1", 0.0), sample.contains("t-1", 1.0)
        (False, True)
        """
        digest = hmac.digest(self._key, transaction_id.encode(), "sha256")
        return int.from_bytes(digest[:8]) < share * 2.0**64
