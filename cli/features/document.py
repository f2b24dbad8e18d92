"""`docs/features.md` from the feature table, the state's layout and the kernel's constants."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Final

from cardwatch.detector.detector import MAX_REASONS
from cardwatch.features import compromise, kernel, reason_codes, reference_statistics, state
from cardwatch.features import definitions as table
from cardwatch.features import reference_table as reference
from cardwatch.features.reason_conditions import Alternatives
from cardwatch.label_maturity import DEFAULT_MATURITY_DAYS
from cli.features.state_fields import state_rows
from cli.templates import render

WINDOW_NAMES: Final = ("10 min", "1 h", "24 h", "7 d", "30 d")


def document() -> str:
    """Return the page as Markdown."""
    return render(
        Path(__file__).with_name("features.md.j2"),
        features=table.FEATURES,
        families={
            family: [feature for feature in table.FEATURES if feature.family == family] for family in table.FAMILIES
        },
        schema_hash=table.SCHEMA_HASH,
        kernel_version=table.KERNEL_VERSION,
        windows=[
            (name, _duration(window_ms // state.TILES), _duration(window_ms // state.TILES * (state.TILES - 1)))
            for name, window_ms in zip(WINDOW_NAMES, state.WINDOWS_MS, strict=True)
        ],
        recent_ids=state.RECENT_IDS,
        small=f"{kernel.SMALL_MINOR / 100:.2f}",
        year_days=kernel.YEAR_MS // reference.DAY_MS,
        prior=f"{reference_statistics.PRIOR_TRANSACTIONS:.0f}",
        window_days=reference.WINDOW_DAYS,
        maturity_days=DEFAULT_MATURITY_DAYS,
        compromised_cards=compromise.MIN_CARDS,
        compromised_ratio=compromise.MIN_COMPROMISE,
        novelty_tables=[
            ("merchants", state.MERCHANTS, _collision_rate(state.MERCHANTS)),
            ("devices", state.DEVICES, _collision_rate(state.DEVICES)),
            ("categories", state.CATEGORIES, "never: the code itself is stored"),
            ("countries", state.COUNTRIES, "never: the code itself is stored"),
        ],
        reason_codes=[(each.code, each.text, _in_words(each.alternatives)) for each in reason_codes.REASON_CODES],
        max_reasons=MAX_REASONS,
        supporting=", ".join(code for code in dict.fromkeys(table.REASONS) if code in reason_codes.SUPPORTING_CODES),
        neutral=reason_codes.NEUTRAL_CODE,
        neutral_text=reason_codes.REASON_TEXTS[reason_codes.NEUTRAL_CODE],
        fields=state_rows(),
        state_bytes=f"{state.STATE.itemsize:,}",
    )


def _duration(milliseconds: int) -> str:
    """Return a duration in the largest unit in which it is at least 1: 54 min, 21.6 h, 27 d."""
    length = timedelta(milliseconds=milliseconds)
    for unit, name in ((timedelta(days=1), "d"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "min")):
        if length >= unit:
            return f"{length / unit:.4g} {name}"
    return f"{length.total_seconds():g} s"


def _in_words(alternatives: Alternatives) -> str:
    """Return conditions as text: `a` ≥ 1 and `b` ≥ 2; or `c` ≤ 3."""
    return "; or ".join(" and ".join(map(str, alternative)) for alternative in alternatives)


def _collision_rate(slots: int) -> str:
    """Return how often a new identifier has the same 32 bits as one of `slots` others."""
    return f"at most one in {2**32 // slots // 1_000_000} million"
