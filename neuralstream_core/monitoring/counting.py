"""From values to counter slots: of one row without numpy, and of many rows by column."""

from __future__ import annotations

import math
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from neuralstream_core.monitoring.observation import UNREAD, WRONG_TYPE
from neuralstream_core.monitoring.profile import PREDICTION, SCORE, category_text
from neuralstream_core.time import to_micros

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuralstream_core.monitoring.profile import Profile, Series

__all__ = [
    "INVALID",
    "MISSING",
    "PRESENT",
    "Column",
    "RowCounter",
    "component",
    "count",
    "count_series",
    "read_column",
]

Floats: TypeAlias = "NDArray[np.float64]"

PRESENT: Final = 0
MISSING: Final = 1
EXPIRED: Final = 2
INVALID: Final = 3
_LARGEST: Final = sys.float_info.max
_STATES: Final = {PRESENT: MISSING, 1: MISSING, 2: EXPIRED, 3: MISSING, WRONG_TYPE: INVALID}
"""From the status of a cell without a value to the state it is counted in."""
_MANY: Final = 1000
"""Numbers from which on it takes less time to compare all with each edge than to search for each number's
place."""


# -- one row -----------------------------------------------------------------------------------


_Add: TypeAlias = Callable[[Any, list[int]], None]
"""Appends the slots of one present value."""


class RowCounter:
    """The slots of the profile to which one row adds one each: what `count` gives for that row alone.

    Args:
        features: number of features of the version.
    """

    def __init__(self, profile: Profile, features: int) -> None:
        by_source: dict[int, list[tuple[Series, int]]] = {}
        for series, start in zip(profile.series, profile.offsets, strict=False):
            by_source.setdefault(series.source, []).append((series, start))
        compiled = {source: _compile(parts) for source, parts in by_source.items()}
        self._features = [compiled[i] for i in range(features)]
        self._present = (PRESENT,) * features
        self._prediction = compiled[PREDICTION]
        self._score = compiled.get(SCORE)

    def answered(
        self, values: Sequence[Any], status: Sequence[int] | None, prediction: Any, score: Any
    ) -> list[int]:
        """Slots of an answered row; the slot that counts the row itself is left out.

        Raises:
            ValueError: not one value and status per feature.
        """
        found = self.refused(values, status)
        _add(self._prediction, prediction, found)
        if self._score is not None:
            _add(self._score, score, found)
        return found

    def refused(self, values: Sequence[Any], status: Sequence[int] | None) -> list[int]:
        """Slots of the cells of a row, without a prediction; raises as `answered`."""
        found: list[int] = []
        for (absent, add), value, state in zip(
            self._features, values, status or self._present, strict=True
        ):
            if state == PRESENT and value is not None:
                add(value, found)
            elif state != UNREAD:
                found.append(absent + _STATES[state])
        return found


def _add(feature: tuple[int, _Add], value: Any, found: list[int]) -> None:
    absent, add = feature
    if value is None:
        found.append(absent + MISSING)
    else:
        add(value, found)


def _compile(parts: list[tuple[Series, int]]) -> tuple[int, _Add]:
    """The series of one source: where the states begin (so that adding `MISSING` gives the slot of
    missing cells), and the function for present values."""
    series, start = parts[0]
    absent = start + series.missing_slot - MISSING
    if series.component is not None:
        return absent, _vector(parts, absent)
    if series.type == "numeric":
        return absent, _number(series, start, absent)
    if series.type == "boolean":
        return absent, _boolean(start, absent)
    return absent, lambda value, found: found.append(
        start + series.category_slot(category_text(value))
    )


def _number(series: Series, start: int, absent: int) -> _Add:
    edges, slots = _bins(series, start)

    def add(value: Any, found: list[int]) -> None:
        number = value if type(value) is float else as_number(value)
        if number is None:
            found.append(absent + INVALID)
        elif -_LARGEST <= number <= _LARGEST:
            found.append(slots[bisect_left(edges, number)])
        else:
            found.append(absent + (MISSING if math.isnan(number) else INVALID))

    return add


def _boolean(start: int, absent: int) -> _Add:
    def add(value: Any, found: list[int]) -> None:
        try:
            found.append(start + 1 if value == 1 else start if value == 0 else absent + INVALID)
        except (TypeError, ValueError):
            found.append(absent + INVALID)

    return add


def _vector(parts: list[tuple[Series, int]], absent: int) -> _Add:
    compiled = [(series.component, *_bins(series, start)) for series, start in parts]

    def add(value: Any, found: list[int]) -> None:
        try:
            numbers = value if isinstance(value, list | tuple) else value.tolist()
            norm = math.hypot(*numbers)
            if not math.isfinite(norm):
                found.append(absent + (MISSING if math.isnan(norm) else INVALID))
                return
            found += [
                slots[bisect_left(edges, norm if which == -1 else numbers[which])]
                for which, edges, slots in compiled
                if which is not None
            ]
        except (TypeError, ValueError, AttributeError, IndexError):
            found.append(absent + INVALID)

    return add


def _bins(series: Series, start: int = 0) -> tuple[list[float], list[int]]:
    """Edges of a numeric series, both ends of its range included, and the slot below each edge (the last
    slot is above all of them). A finite number belongs to ``slots[bisect_left(edges, number)]``."""
    low = -math.inf if series.low is None else math.nextafter(series.low, -math.inf)
    high = _LARGEST if series.high is None else series.high
    bins = len(series.cuts) + 1
    return [low, *series.cuts, high], [start + slot for slot in (bins, *range(bins), bins + 1)]


# -- columns -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Column:
    """One column: its numbers or texts, and the state of each cell.

    Attributes:
        state: uint8 ``(n,)``: `PRESENT`, `MISSING`, `EXPIRED` or `INVALID`.
        numbers: float64 ``(n,)`` or ``(n, size)``, meaningful where present; ``None`` for texts.
        texts: the present categories with their counts; ``None`` for numbers.
    """

    state: NDArray[np.uint8]
    numbers: Floats | None
    texts: Counter[str] | None


def read_column(
    values: Any, *, type_: str, size: int = 1, status: NDArray[np.uint8] | None = None
) -> Column:
    """Read a column of Python values or a numpy array.

    Args:
        values: ``n`` values, ``None`` or NaN where missing; of a vector ``n`` sequences, or 2-D.
        type_: ``numeric``, ``boolean`` or ``category``.
        size: elements of a vector.
        status: uint8 ``(n,)``, see `observation.Observation`.
    """
    state = np.zeros(len(values), np.uint8)
    if status is not None:
        state[status != PRESENT] = MISSING
        state[status == EXPIRED] = EXPIRED
        state[status == WRONG_TYPE] = INVALID
    if type_ == "category":
        return _texts(values, state)
    numbers = _vectors(values, size, state) if size > 1 else _numbers(values, type_, state)
    flat = numbers if size == 1 else numbers.sum(axis=1)
    if not np.isfinite(flat).all():
        state[np.isnan(flat) & (state == PRESENT)] = MISSING
        state[np.isinf(flat) & (state == PRESENT)] = INVALID
    if type_ == "boolean":
        state[(flat != 0) & (flat != 1) & (state == PRESENT)] = INVALID
    return Column(state, numbers, None)


def count(
    profile: Profile,
    columns: Sequence[Any],
    sizes: Sequence[int],
    status: NDArray[np.uint8] | None,
    prediction: Any | None,
    score: Any | None,
    rows: int,
) -> NDArray[np.int64]:
    """Every counter of ``profile``: int64 ``(profile.size,)``.

    Args:
        columns: one per feature, in the version's order, of all rows looked up.
        sizes: elements of each feature.
        status: uint8 ``(n, features)``, of the cells of ``columns``.
        prediction, score: of the answered rows.
        rows: number of answered rows.
    """
    counts = np.zeros(profile.size, np.int64)
    read: dict[int, Column] = {}
    for series, start in zip(profile.series, profile.offsets, strict=False):
        source = series.source
        if source not in read:
            if source >= 0:
                of_cells = None if status is None else status[:, source]
                read[source] = read_column(
                    columns[source], type_=series.type, size=sizes[source], status=of_cells
                )
            else:
                given = prediction if source == PREDICTION else score
                if given is None:
                    continue
                read[source] = read_column(given, type_=series.type)
        counts[start : start + series.size] = count_series(series, read[source])
    counts[profile.rows_slot] = rows
    return counts


def count_series(series: Series, column: Column) -> NDArray[np.int64]:
    """The slots of one series for one column: int64 ``(series.size,)``."""
    counts = np.zeros(series.size, np.int64)
    if series.has_states:
        counts[series.missing_slot :] = np.bincount(column.state, minlength=4)[MISSING:]
    for text, k in (column.texts or {}).items():
        counts[series.category_slot(text)] += k
    if column.numbers is not None:
        every = not column.state.any()
        present = column.numbers if every else column.numbers[column.state == PRESENT]
        numbers = component(present, series.component)
        if series.type == "boolean":
            counts[1] = np.count_nonzero(numbers)
            counts[0] = len(numbers) - counts[1]
        else:
            edges, slots = _bins(series)
            counts[slots] = _binned(edges, numbers)
    return counts


def _binned(edges: Sequence[float], numbers: Floats) -> NDArray[np.int64]:
    """How many finite numbers lie up to the first edge, up to the next, …, and above the last one."""
    if len(numbers) < _MANY:
        places = np.searchsorted(edges, numbers, side="left")
        return np.bincount(places, minlength=len(edges) + 1)
    up_to = [np.count_nonzero(numbers <= edge) for edge in edges]
    return np.diff(np.array([0, *up_to, len(numbers)]))


def component(numbers: Floats, which: int | None) -> Floats:
    """The Euclidean norm (-1) or one dimension of vectors; scalars (``None``) as they are."""
    if which is None:
        return numbers
    if which == -1:
        return np.asarray(np.linalg.norm(numbers, axis=1), np.float64)
    return np.asarray(numbers[:, which], np.float64)


def _numbers(values: Any, type_: str, state: NDArray[np.uint8]) -> Floats:
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
        return values.astype(np.float64, copy=False)
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        micros = values.astype("datetime64[us]")
        return np.where(np.isnat(micros), np.nan, micros.astype(np.int64).astype(np.float64))
    numbers = np.full(len(values), np.nan)
    for i, value in enumerate(values):
        if value is None or state[i] != PRESENT:
            continue
        number = as_number(value, boolean=type_ == "boolean")
        if number is None:
            state[i] = INVALID
        else:
            numbers[i] = number
    return numbers


def as_number(value: Any, *, boolean: bool = False) -> float | None:
    """A scalar as the float that is counted, or ``None`` for a wrong type.

    A boolean is a number only if ``boolean``; a time is its microseconds.
    """
    if isinstance(value, bool | np.bool_):
        return float(value) if boolean else None
    if isinstance(value, int | float | np.number):
        try:
            return float(value)
        except OverflowError:
            return None
    if isinstance(value, datetime) and value.tzinfo is not None:
        return float(to_micros(value))
    return None


def _vectors(values: Any, size: int, state: NDArray[np.uint8]) -> Floats:
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiub" and values.ndim == 2:
        return values.astype(np.float64)
    numbers = np.full((len(values), size), np.nan)
    for i, value in enumerate(values):
        if value is None or state[i] != PRESENT:
            continue
        try:
            numbers[i] = np.asarray(value, np.float64)
        except (ValueError, TypeError):
            state[i] = INVALID
            numbers[i] = 0.0
    return numbers


def _texts(values: Any, state: NDArray[np.uint8]) -> Column:
    seen: Mapping[Any, int]
    if isinstance(values, np.ndarray) and values.dtype.kind in "iub":
        unique, counts = np.unique(values[state == PRESENT], return_counts=True)
        seen = dict(zip(unique.tolist(), counts.tolist(), strict=True))
    else:
        seen = _labels(values, state)
    texts: Counter[str] = Counter()
    for value, k in seen.items():
        texts[category_text(value)] += k
    return Column(state, None, texts)


def _labels(values: Any, state: NDArray[np.uint8]) -> Mapping[Any, int]:
    """The present values with their counts; the state of what is none is set."""
    listed = values.tolist() if isinstance(values, np.ndarray) else values
    found: list[Any] = []
    for i, (value, known) in enumerate(zip(listed, state.tolist(), strict=True)):
        if known != PRESENT:
            continue
        if value is None or (isinstance(value, float) and value != value):
            state[i] = MISSING
        elif isinstance(value, list | dict | set):
            state[i] = INVALID
        else:
            found.append(value)
    return Counter(found)
