"""What monitoring is told of one row that was refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neuralstream_core.errors import Invalid
from neuralstream_core.features.rows import CellStatus
from neuralstream_core.monitoring.observation import UNREAD, WRONG_TYPE, Refused
from neuralstream_core.serving.cells import typed
from neuralstream_core.serving.plan import Plan

__all__ = ["given", "refused"]


def refused(plan: Plan, values: Sequence[Any], status: Sequence[int] | None) -> Refused:
    """A row whose features were read."""
    version = plan.version
    return Refused(
        version.model, version.version, version.profile, plan.features, values, status, plan.classes
    )


def given(
    plan: Plan, features: Mapping[str, Any] | None, feature_view: str | None
) -> Refused | None:
    """A row that was refused before its features were read: only what the request itself gave is
    known. ``None`` when that is nothing."""
    values: list[Any] = [None] * len(plan.features)
    status: list[int] = [UNREAD] * len(plan.features)
    for name, value in (features or {}).items():
        try:
            place = plan.place(name, feature_view)
        except Invalid:
            continue  # no input of the model, or ambiguous: there is no series to count it in
        try:
            values[place] = None if value is None else typed(plan.features[place])(value)
            status[place] = CellStatus.NULL if value is None else CellStatus.PRESENT
        except ValueError:
            status[place] = WRONG_TYPE
    if all(cell == UNREAD for cell in status):
        return None
    return refused(plan, values, status)
