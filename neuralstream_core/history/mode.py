"""What a label may see of the history."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Mode"]


class Mode(StrEnum):
    """Which rows a label may see."""

    AS_OF = "as_of"
    """All with an event time up to the label's."""
    AS_KNOWN = "as_known"
    """Those among them that had been written by then: later backfills and corrections are left out."""
