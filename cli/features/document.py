"""`docs/features.md` from the feature table, the state's layout and the kernel's constants."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Final

import jinja2

from cardwatch.features import definitions as table
from cardwatch.features import kernel, state
from cardwatch.features import reference_table as reference
from cli.features.state_fields import state_rows

WINDOW_NAMES: Final = ("10 min", "1 h", "24 h", "7 d", "30 d")


def document() -> str:
    """The whole page, Markdown."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # noqa: S701 (Markdown)
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("features.md.j2").render(
        features=table.FEATURES,
        families={
            family: [feature for feature in table.FEATURES if feature.family == family] for family in table.FAMILIES
        },
        schema_hash=table.SCHEMA_HASH,
        kernel_version=table.KERNEL_VERSION,
        windows=[
            (name, _words(window_ms // state.TILES), _words(window_ms // state.TILES * (state.TILES - 1)))
            for name, window_ms in zip(WINDOW_NAMES, state.WINDOWS_MS, strict=True)
        ],
        recent_ids=state.RECENT_IDS,
        small=f"{kernel.SMALL_MINOR / 100:.2f}",
        year_days=kernel.YEAR_MS // reference.DAY_MS,
        prior=f"{reference.PRIOR_TRANSACTIONS:.0f}",
        novelties=[
            ("merchants", state.MERCHANTS, _one_in(state.MERCHANTS)),
            ("devices", state.DEVICES, _one_in(state.DEVICES)),
            ("categories", state.CATEGORIES, "never: the code itself is kept"),
            ("countries", state.COUNTRIES, "never: the code itself is kept"),
        ],
        fields=state_rows(),
        state_bytes=f"{state.STATE.itemsize:,}",
    )


def _words(milliseconds: int) -> str:
    """A duration in its largest unit that is at most itself: 54 min, 21.6 h, 27 d."""
    length = timedelta(milliseconds=milliseconds)
    for unit, name in ((timedelta(days=1), "d"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "min")):
        if length >= unit:
            return f"{length / unit:.4g} {name}"
    return f"{length.total_seconds():g} s"


def _one_in(slots: int) -> str:
    """The chance that a new identity shares the 32 bits of one of so many others."""
    return f"at most once in {2**32 // slots // 1_000_000} million"
