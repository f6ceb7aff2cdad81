"""Every route declares exactly one scope, or `PUBLIC` in so many words."""

from __future__ import annotations

from typing import Final, Literal

from neuralstream_core.keys.scopes import Scope

__all__ = ["PUBLIC", "Scope"]

PUBLIC: Final[Literal["public"]] = "public"
