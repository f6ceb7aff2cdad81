"""What a report about outcomes is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal, NamedTuple, TypeAlias

from neuralstream_core.errors import Invalid
from neuralstream_core.monitoring.layout import HOUR, Window, requested_window, window_between
from neuralstream_core.outcomes.joined import By
from neuralstream_core.time import Micros

__all__ = ["Asked", "AskedResults", "Series", "WindowName", "performance_window", "period"]

WindowName: TypeAlias = Literal["1h", "24h", "7d", "30d"]

Series: TypeAlias = Literal["hour", "day"]
_UNITS: Final[Mapping[str, Micros]] = {"hour": HOUR, "day": 24 * HOUR}
_PERIODS: Final = 24 * 8
"""Most periods of a series."""


def performance_window(
    name: WindowName | None, start: datetime | None, end: datetime | None, now: Micros
) -> Window:
    """The window of a request; as `requested_window`, but 7d unless given, and also 30d."""
    if name == "30d" and start is None and end is None:
        return window_between(now - 30 * _UNITS["day"], now, now)
    default = "7d" if name is None and start is None else name
    return requested_window(default, start, end, now)


class Asked(NamedTuple):
    """What a report is to tell.

    Attributes:
        version: only this one; all with predictions where ``None``.
        by: which time is in the window.
        series: length of the periods that it is divided into; ``None``: it is not.
        slices: label of the feature by whose logged values it is divided; ``None``: it is not.
    """

    model: str
    version: str | None
    window: Window
    by: By = "predicted"
    series: Series | None = None
    slices: str | None = None


class AskedResults(NamedTuple):
    """What is asked for.

    Attributes:
        metric: by which the verdict is; the first that the versions have where ``None``.
        alpha: probability that any interval of ``metric`` is ever wrong.
        effect: difference that a plan is made for; `neuralstream_core.outcomes.experiment.default_effect`
            where ``None``.
        start: only predictions from then on, microseconds.
    """

    model: str
    metric: str | None = None
    alpha: float = 0.05
    effect: float | None = None
    start: Micros | None = None


def period(asked: Asked) -> Micros | None:
    """The length of a series' periods in microseconds.

    Raises:
        Invalid: there would be too many.
    """
    if asked.series is None:
        return None
    unit = _UNITS[asked.series]
    if (asked.window.end - asked.window.start) // unit > _PERIODS:
        raise Invalid.at(
            "query.series", f"has at most {_PERIODS} periods: ask for days, or a shorter window"
        )
    return unit
