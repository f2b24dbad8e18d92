"""Old names of keys in files that users write. They are accepted for one version."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

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
