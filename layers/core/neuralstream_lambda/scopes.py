"""What a key may do. Every route declares exactly one scope, or `PUBLIC` in so many words."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal

__all__ = ["PUBLIC", "Scope"]


class Scope(StrEnum):
    FEATURES_READ = "features:read"
    FEATURES_WRITE = "features:write"
    MODELS_READ = "models:read"
    MODELS_WRITE = "models:write"
    PREDICT = "predict"
    MONITORING = "monitoring"


PUBLIC: Final[Literal["public"]] = "public"
