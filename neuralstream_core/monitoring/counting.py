"""Values to counts, column by column: used for baselines and for batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from neuralstream_core.monitoring.observation import WRONG_TYPE
from neuralstream_core.monitoring.profile import PREDICTION, category_text
from neuralstream_core.time import to_micros

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuralstream_core.monitoring.profile import Profile, Series

__all__ = ["EXPIRED", "INVALID", "MISSING", "PRESENT", "Column", "count", "read_column"]

Floats: TypeAlias = "NDArray[np.float64]"

PRESENT: Final = 0
MISSING: Final = 1
EXPIRED: Final = 2
INVALID: Final = 3


class Column:
    """One column read once: its numbers or texts, and the state of each cell.

    Attributes:
        state: uint8 ``(n,)``: `PRESENT`, `MISSING`, `EXPIRED` or `INVALID`.
        numbers: float64 ``(n,)`` or ``(n, size)``, meaningful where present; for text: ``None``.
        texts: the present categories with their counts; for numbers: ``None``.
    """

    __slots__ = ("numbers", "state", "texts")

    def __init__(
        self, state: NDArray[np.uint8], numbers: Floats | None, texts: Counter[str] | None
    ) -> None:
        self.state = state
        self.numbers = numbers
        self.texts = texts


def read_column(
    values: Any, *, type_: str, size: int = 1, status: NDArray[np.uint8] | None = None
) -> Column:
    """Read a column of Python values or a numpy array.

    Args:
        values: ``n`` values, ``None`` or NaN where missing; a vector: ``n`` sequences, or 2-D.
        type_: ``numeric``, ``boolean`` or ``category``.
        size: elements of a vector.
        status: cell statuses of the feature store (0 present, 1 NULL, 2 expired, 3 not found), or
            `WRONG_TYPE`.
    """
    n = len(values)
    state = np.zeros(n, np.uint8)
    if status is not None:
        state[status != PRESENT] = MISSING
        state[status == EXPIRED] = EXPIRED
        state[status == WRONG_TYPE] = INVALID
    if type_ == "category":
        return _texts(values, state)
    numbers = _vectors(values, size, state) if size > 1 else _numbers(values, type_, state)
    flat = numbers if size == 1 else numbers.sum(axis=1)
    state[np.isnan(flat) & (state == PRESENT)] = MISSING
    bad = np.isinf(flat)
    if type_ == "boolean":
        bad |= (flat != 0) & (flat != 1) & ~np.isnan(flat)
    state[bad & (state == PRESENT)] = INVALID
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
        columns: one per feature, in the version's order, of all rows looked up; ``sizes`` their
            elements.
        status: of the cells of ``columns``.
        prediction, score: of the answered rows; ``rows`` says how many those are.
    """
    counts = np.zeros(profile.size, np.int64)
    read: dict[int, Column] = {}
    for series, start in zip(profile.series, profile.offsets, strict=False):
        column = read.get(series.source)
        if column is None:
            if series.source >= 0:
                column = read_column(
                    columns[series.source],
                    type_=series.type,
                    size=sizes[series.source],
                    status=None if status is None else status[:, series.source],
                )
            else:
                given = prediction if series.source == PREDICTION else score
                if given is None:
                    continue
                column = read_column(given, type_=series.type)
            read[series.source] = column
        counts[start : start + series.size] = count_series(series, column)
    counts[profile.rows_slot] = rows
    return counts


def count_series(series: Series, column: Column) -> NDArray[np.int64]:
    """The slots of one series for one column: int64 ``(series.size,)``."""
    counts = np.zeros(series.size, np.int64)
    present = column.state == PRESENT
    if series.has_states:
        states = np.bincount(column.state, minlength=4)
        counts[series.missing_slot :] = states[MISSING : INVALID + 1]
    if series.type == "category":
        for text, k in (column.texts or Counter()).items():
            counts[category_slot(series, text)] += k
    elif column.numbers is not None:
        numbers = component(column.numbers[present], series.component)
        if series.type == "boolean":
            counts[1] = np.count_nonzero(numbers)
            counts[0] = len(numbers) - counts[1]
        else:
            counts[: series.values] = _numeric_counts(series, numbers)
    return counts


def component(numbers: Floats, which: int | None) -> Floats:
    """The norm (-1) or one dimension of vectors; scalars as they are."""
    if which is None:
        return numbers
    if which == -1:
        return np.asarray(np.sqrt(np.einsum("ij,ij->i", numbers, numbers)), np.float64)
    return np.asarray(numbers[:, which], np.float64)


def category_slot(series: Series, text: str) -> int:
    """The slot of a category within its series."""
    try:
        return series.categories.index(text)
    except ValueError:
        other = len(series.categories)
        return other + 1 if series.closed and text not in series.rare else other


def _numeric_counts(series: Series, numbers: Floats) -> NDArray[np.int64]:
    places = np.searchsorted(np.asarray(series.cuts, np.float64), numbers, side="left")
    low, high = len(series.cuts) + 1, len(series.cuts) + 2
    if series.low is not None:
        places = np.where(numbers < series.low, low, places)
    if series.high is not None:
        places = np.where(numbers > series.high, high, places)
    return np.bincount(places, minlength=series.values)


def _numbers(values: Any, type_: str, state: NDArray[np.uint8]) -> Floats:
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
        return values.astype(np.float64)
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
    """A scalar as the float that is binned, or ``None`` for a wrong type.

    A boolean is no number unless ``boolean``; a time is its microseconds.
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
    texts: Counter[str] = Counter()
    listed = values.tolist() if isinstance(values, np.ndarray) else values
    if state.any():
        listed = [v if s == PRESENT else None for v, s in zip(listed, state, strict=True)]
    seen: Mapping[Any, int]
    try:
        seen = Counter(listed)
        hashable = True
    except TypeError:
        hashable = False
    if not hashable:
        for i, value in enumerate(listed):
            if isinstance(value, list | dict | set):
                state[i] = INVALID
        seen = Counter(v for v in listed if not isinstance(v, list | dict | set))
    for value, k in seen.items():
        if value is None or (isinstance(value, float) and value != value):
            continue
        texts[category_text(value)] += k
    for i, value in enumerate(listed):
        if state[i] == PRESENT and (value is None or (isinstance(value, float) and value != value)):
            state[i] = MISSING
    return Column(state, None, texts)
