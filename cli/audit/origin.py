"""When and with what an audit was made."""

from __future__ import annotations

from adapters.runtime.clock import epoch_ms
from adapters.runtime.settings import Settings
from cardwatch import __version__
from cardwatch.events import from_epoch_ms
from cli.audit.report import AuditOrigin
from cli.audit.sources import AuditedModels


def origin_of(settings: Settings, models: AuditedModels) -> AuditOrigin:
    """Return the origin of an audit that ends now."""
    return AuditOrigin(
        made_at=f"{from_epoch_ms(int(epoch_ms())):%Y-%m-%dT%H:%M:%SZ}",
        cardwatch=__version__,
        archive=str(settings.archive),
        registry=models.where,
    )
