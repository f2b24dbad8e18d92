"""The settings that name the registry: those of this process, or of the running stack."""

from __future__ import annotations

from adapters.runtime.settings import Settings, read_settings
from cli.records.broker import stack_settings


def ladder_settings() -> Settings:
    """Return the settings of this process if they name a registry, else those of the stack that `cardwatch up` runs."""
    settings = read_settings()
    return settings if settings.mlflow_url else stack_settings()
