"""Rows on which a model and its export are compared, beside the rows of its data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from neuralstream_client.log_model.table import Column, Table, concatenated

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Probe", "data_rows", "extreme_rows", "null_rows", "split_rows", "spread"]

_DATA: Final = 2000
_SPLITS: Final = 400
_BASES: Final = 2
_NULL_BASES: Final = 4
_LARGEST: Final = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Probe:
    """Rows of one origin.

    Attributes:
        group: ``data``, ``nulls``, ``range``, ``unseen``, ``thresholds`` or ``far``.
        column: the only one that differs from rows of the data, where there is one.
    """

    group: str
    rows: Table
    column: int | None = None


def spread(count: int, most: int) -> NDArray[np.intp]:
    """At most ``most`` of ``count`` places, evenly spaced, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.intp))


def data_rows(table: Table) -> Probe:
    """Rows of the data, evenly spaced."""
    return Probe("data", table.take(spread(len(table), _DATA)))


def null_rows(table: Table) -> list[Probe]:
    """For each column, rows of the data in which it is missing; at last rows in which all are."""
    base = table.take(spread(len(table), _NULL_BASES))
    probes = [
        Probe("nulls", base.replaced(at, [_nothing(column)] * len(base)), at)
        for at, column in enumerate(table.columns)
    ]
    empty = base.take([0])
    for at, column in enumerate(table.columns):
        empty = empty.replaced(at, [_nothing(column)])
    return [*probes, Probe("nulls", empty)]


def extreme_rows(table: Table) -> list[Probe]:
    """Rows with one value at the ends of its column's range and beyond, at zero, or negative.

    ``far`` has numbers from ten times the range to the largest of float32, ``unseen`` a text that the
    data does not have.
    """
    base = table.take(spread(len(table), _BASES))
    probes: list[Probe] = []
    for at, column in enumerate(table.columns):
        if column.text:
            probes.append(_varied("unseen", base, at, ["a text that is not in the data"]))
            continue
        known = column.values[np.isfinite(column.values)]
        if column.dtype == "bool" or not len(known):
            continue
        low, high = float(known.min()), float(known.max())
        size = max(abs(low), abs(high), 1.0)
        probes.append(_varied("range", base, at, [low, high, 0.0, -size]))
        far = [10.0 * size, -10.0 * size, 2.0**31, -(2.0**31)]
        if column.dtype != "int64":
            far += [1e30, -1e30, _LARGEST, -_LARGEST]
        probes.append(_varied("far", base, at, far))
    return probes


def split_rows(table: Table, splits: Iterable[tuple[int, float]]) -> Probe | None:
    """Rows with a value at a threshold of a tree and just beside it, in float32 and in float64.

    Args:
        splits: column and threshold.
    """
    found = sorted(set(splits))
    parts: list[Table] = []
    for number, place in enumerate(spread(len(found), _SPLITS) if found else ()):
        at, threshold = found[place]
        column = table.columns[at]
        single = np.float32(threshold)
        below, above = (float(np.nextafter(single, np.float32(way))) for way in (-np.inf, np.inf))
        values = [threshold, float(single), below, above]
        if column.dtype == "int64":
            values = [float(np.floor(threshold)), float(np.ceil(threshold))]
        elif column.dtype == "bool":
            values = [0.0, 1.0]
        elif column.dtype == "float64":
            values += [float(np.nextafter(threshold, way)) for way in (-np.inf, np.inf)]
        base = table.take([(number * 7919) % len(table)])
        parts.append(_varied("thresholds", base, at, values).rows)
    return Probe("thresholds", concatenated(parts)) if parts else None


def _varied(group: str, base: Table, at: int, values: Sequence[Any]) -> Probe:
    """Each row of ``base`` with each of the values, as its column can hold them."""
    rows = np.repeat(np.arange(len(base)), len(values))
    fitting = [_fitting(base.columns[at], value) for value in values] * len(base)
    return Probe(group, base.take(rows).replaced(at, fitting), at)


def _fitting(column: Column, value: Any) -> Any:
    if column.dtype == "int64":
        return float(round(value))
    return float(np.float32(value)) if column.dtype == "float32" else value


def _nothing(column: Column) -> Any:
    return None if column.text else np.nan
