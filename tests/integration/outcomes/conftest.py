"""Fixtures: a history under a clock that tests move."""

from __future__ import annotations

from tests.integration.history.conftest import house
from tests.support.features import clock

__all__ = ["clock", "house"]
