"""Old keys in files that users write. Renamed ones are accepted for one version, removed ones are refused."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from cardwatch.errors import Misconfigured

log = logging.getLogger(__name__)


def rename_keys(content: Any, names: Mapping[str, str], source: str) -> Any:
    """Return `content` with its old keys replaced by the new ones in `names`, and log a warning for each.

    An old key beside its new one stays, so that decoding refuses it as unknown. Anything but a mapping is returned
    unchanged.
    """
    if not isinstance(content, dict):
        return content
    old_keys = [key for key in content if key in names and names[key] not in content]
    for key in old_keys:
        log.warning("%s: %s is called %s now; the old name is accepted for one version", source, key, names[key])
    return {names[key] if key in old_keys else key: value for key, value in content.items()}


def refuse_keys(content: Any, remedies: Mapping[str, str], source: str) -> None:
    """Raise `Misconfigured`, with the remedy, if `content` is a mapping with a key that was removed."""
    for key in content if isinstance(content, dict) else ():
        if key in remedies:
            raise Misconfigured(f"{source}.{key} was removed; {remedies[key]}")
