"""A profile compiled for one row: from a value to the prepared increment of its slot."""

from __future__ import annotations

import math
import sys
from bisect import bisect_left
from collections.abc import Callable, Sequence
from operator import getitem, itemgetter
from typing import Any, Final, TypeAlias

from neuralstream_core.monitoring._wire import increment
from neuralstream_core.monitoring.observation import UNREAD, WRONG_TYPE
from neuralstream_core.monitoring.profile import PREDICTION, SCORE, Profile, Series, category_text

__all__ = ["RowPlan"]

_PLAIN: Final = frozenset((float, int))
_STATES: Final = {1: 0, 2: 1, 3: 0, WRONG_TYPE: 2}
"""From a cell's status to ``missing``, ``expired`` or ``invalid``."""

Choose: TypeAlias = Callable[[Any, list[bytes]], None]
"""Appends the increments of one present value."""


class RowPlan:
    """The increments of a row of a version with ``profile``.

    numpy would cost a microsecond a call here; `bisect` over a list costs a tenth of it.
    """

    __slots__ = (
        *("_cuts", "_features", "_no_row", "_others", "_pick", "_prediction", "_rows"),
        *("_score", "_tables"),
    )

    def __init__(self, profile: Profile, features: int) -> None:
        by_source: dict[int, list[tuple[Series, int]]] = {}
        for series, start in zip(profile.series, profile.offsets, strict=False):
            by_source.setdefault(series.source, []).append((series, start))
        self._features = [_feature(by_source[i]) for i in range(features)]
        self._prediction = _feature(by_source[PREDICTION])
        self._score = _feature(by_source[SCORE]) if SCORE in by_source else None
        self._rows = increment(32, profile.rows_slot, 1)
        self._no_row = increment(32, profile.rows_slot, 0)
        scalars = [i for i, entry in enumerate(self._features) if entry[0]]
        self._others = [(i, e) for i, e in enumerate(self._features) if not e[0]]
        self._pick = itemgetter(*scalars) if len(scalars) > 1 else None
        self._cuts = [self._features[i][0] for i in scalars]
        # Without the ends: a value outside the range, infinite or NaN is a KeyError.
        self._tables = [dict(enumerate(self._features[i][1][1:-1], start=1)) for i in scalars]

    def increments(
        self, values: Sequence[Any], status: Sequence[int] | None, prediction: Any, score: Any
    ) -> list[bytes]:
        """Prepared increments of an answered row; the last one counts it."""
        found = self._cells(values, status)
        self._one(self._prediction, prediction, found)
        if self._score is not None:
            self._one(self._score, score, found)
        found.append(self._rows)
        return found

    def refused(self, values: Sequence[Any], status: Sequence[int] | None) -> list[bytes]:
        """Prepared increments of a row that got no answer; the last one adds nothing to the answered
        rows, so that Redis allocates the string whole all the same."""
        found = self._cells(values, status)
        found.append(self._no_row)
        return found

    def _cells(self, values: Sequence[Any], status: Sequence[int] | None) -> list[bytes]:
        if len(values) != len(self._features):
            raise ValueError(f"{len(values)} values for {len(self._features)} features")
        found: list[bytes] = []
        if status is not None and any(status):
            for entry, value, state in zip(self._features, values, status, strict=True):
                if not state:
                    self._one(entry, value, found)
                elif state != UNREAD:
                    found.append(entry[2][_STATES[state]])
        elif (pick := self._pick) is not None and _PLAIN.issuperset(map(type, pick(values))):
            # The hot path: plain numbers within the baseline's range, in C from end to end.
            places = map(bisect_left, self._cuts, pick(values))
            try:
                found = list(map(getitem, self._tables, places))
            except KeyError:
                found = []
                for entry, value in zip(self._features, values, strict=True):
                    self._one(entry, value, found)
            else:
                for i, entry in self._others:
                    self._one(entry, values[i], found)
        else:
            for entry, value in zip(self._features, values, strict=True):
                self._one(entry, value, found)
        return found

    @staticmethod
    def _one(entry: _Entry, value: Any, found: list[bytes]) -> None:
        if value is None:
            found.append(entry[2][0])
        else:
            entry[3](value, found)


_Entry: TypeAlias = tuple[list[float], list[bytes], tuple[bytes, bytes, bytes], Choose]
"""Cuts and increments (of a scalar number, else empty), states, and the general way."""


def _feature(parts: list[tuple[Series, int]]) -> _Entry:
    series, start = parts[0]
    first = start + series.missing_slot
    states = (increment(32, first, 1), increment(32, first + 1, 1), increment(32, first + 2, 1))
    if series.component is not None:
        return [], [], states, _vector(parts, states)
    if series.type == "numeric":
        cuts, pieces = _bins(series, start)
        return cuts, pieces, states, _number(cuts, pieces, states)
    if series.type == "boolean":
        return [], [], states, _boolean(start, states)
    return [], [], states, _category(series, start)


def _bins(series: Series, start: int) -> tuple[list[float], list[bytes]]:
    """Cuts with both ends of the range, and the increments in the order of `bisect_left`."""
    low = -math.inf if series.low is None else math.nextafter(series.low, -math.inf)
    high = sys.float_info.max if series.high is None else series.high
    bins = len(series.cuts) + 1
    order = [bins, *range(bins), bins + 1]
    return [low, *series.cuts, high], [increment(32, start + slot, 1) for slot in order]


def _number(cuts: list[float], pieces: list[bytes], states: tuple[bytes, bytes, bytes]) -> Choose:
    def choose(value: Any, found: list[bytes]) -> None:
        from neuralstream_core.monitoring.counting import as_number

        number = value if type(value) is float else as_number(value)
        if number is None or number in (math.inf, -math.inf):
            found.append(states[2])
        elif number != number:
            found.append(states[0])
        else:
            found.append(pieces[bisect_left(cuts, number)])

    return choose


def _boolean(start: int, states: tuple[bytes, bytes, bytes]) -> Choose:
    false, true = increment(32, start, 1), increment(32, start + 1, 1)

    def choose(value: Any, found: list[bytes]) -> None:
        try:
            found.append(true if value == 1 else false if value == 0 else states[2])
        except (TypeError, ValueError):
            found.append(states[2])

    return choose


def _category(series: Series, start: int) -> Choose:
    pieces = {text: increment(32, start + i, 1) for i, text in enumerate(series.categories)}
    other = increment(32, start + len(series.categories), 1)
    unknown = increment(32, start + len(series.categories) + 1, 1) if series.closed else other
    pieces |= dict.fromkeys(series.rare, other)

    def choose(value: Any, found: list[bytes]) -> None:
        text = value if type(value) is str and len(value) <= 128 else category_text(value)
        found.append(pieces.get(text, unknown))

    return choose


def _vector(parts: list[tuple[Series, int]], states: tuple[bytes, bytes, bytes]) -> Choose:
    compiled = [(series.component, *_bins(series, start)) for series, start in parts]

    def choose(value: Any, found: list[bytes]) -> None:
        try:
            numbers = value if isinstance(value, list | tuple) else value.tolist()
            norm = math.hypot(*numbers)
            if not math.isfinite(norm):
                found.append(states[0] if math.isnan(norm) else states[2])
                return
            chosen = [
                pieces[bisect_left(cuts, norm if which == -1 else numbers[which])]
                for which, cuts, pieces in compiled
                if which is not None
            ]
        except (TypeError, ValueError, AttributeError, IndexError):
            found.append(states[2])
        else:
            found += chosen

    return choose
