"""What a key may do."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Scope"]


class Scope(StrEnum):
    """What a key may do; each route says which scope opens it."""

    FEATURES_READ = "features:read"
    FEATURES_WRITE = "features:write"
    MODELS_READ = "models:read"
    MODELS_WRITE = "models:write"
    PREDICT = "predict"
    OUTCOMES = "outcomes"
    """Send what became of predictions."""
    MONITORING = "monitoring"
    KEYS = "keys"
    """Mint keys with scopes that the own key has, list and revoke any."""
