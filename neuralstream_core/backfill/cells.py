"""Cells of the history on their way back into the online store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from neuralstream_core.backfill.packing import Packed, joined, patterns
from neuralstream_core.features.block import build_written
from neuralstream_core.features.rows import CellStatus
from neuralstream_core.features.schema import Feature, FeatureView
from neuralstream_core.features.store import OnlineStore
from neuralstream_core.features.upkeep import Upkeep
from neuralstream_core.features.values import Dtype
from neuralstream_core.features.writes import TOO_LARGE, Batch, GivenColumns

__all__ = ["Cells", "Merged", "cells_of_packed", "column_of", "merge_cells", "packed_cells"]


class Cells(NamedTuple):
    """Written rows, in the order in which they were written.

    Attributes:
        entities: `entity_bytes` of each.
        times: event times in microseconds.
        written: by row and feature of the view, whether it was written, as NULL or with a value.
        columns: values by feature; masked, or ``None``, where NULL or not written.
    """

    entities: Sequence[bytes]
    times: npt.NDArray[np.int64]
    written: npt.NDArray[np.bool_]
    columns: Mapping[str, Any]


class Merged(NamedTuple):
    """How many rows were merged, and how many of them were refused as too large."""

    rows: int
    refused: int


def cells_of_packed(view: FeatureView, entities: Sequence[bytes], rows: Sequence[bytes]) -> Cells:
    """Rows as the log has them.

    Args:
        view: at a schema version that knows every row's features.

    Raises:
        Unavailable: a row has an unknown format or is damaged.
    """
    block = build_written(view, rows)
    times = np.zeros(0, np.int64) if block.event_times is None else block.event_times
    absent = block.status != CellStatus.PRESENT
    columns = {
        feature.name: _masked(block.columns[feature.name], absent[:, at])
        for at, feature in enumerate(view.features)
    }
    return Cells(entities, times, block.status != CellStatus.NOT_FOUND, columns)


def column_of(feature: Feature, values: Sequence[Any]) -> Any:
    """Decoded values of a feature, ``None`` where NULL or not written, as a column of `Cells`."""
    if feature.dtype is not Dtype.TIMESTAMP:
        return values
    absent = [value is None for value in values]
    return np.ma.MaskedArray(np.array([value or 0 for value in values], np.int64), absent)


def packed_cells(
    store: OnlineStore, view: FeatureView, cells: Cells, request_id: str
) -> Batch | None:
    """Rows packed; ``None`` where no row has a cell.

    Args:
        request_id: of the batch.

    Raises:
        Unavailable: the view was changed just now.
    """
    packed: list[Packed] = []
    for pattern in patterns(cells.written):
        features = [
            f.name for f, is_in in zip(view.features, pattern.written, strict=True) if is_in
        ]
        if not features:
            continue  # a row that Redis refused as too large has no cells in the history
        places = pattern.places.tolist()
        given = GivenColumns(
            [cells.entities[at] for at in places],
            {name: _taken(cells.columns[name], pattern.places) for name in features},
            cells.times[pattern.places],
        )
        packed.append(Packed(store.prepare(view.name, given, request_id), places))
    return joined(packed).batch if packed else None


def merge_cells(upkeep: Upkeep, view: FeatureView, cells: Cells) -> Merged:
    """Merge rows into Redis, by event time as any write; the history has them already.

    Raises:
        NotFound: the view was deleted.
        Unavailable: Redis cannot answer, or the view was changed just now.
    """
    batch = packed_cells(upkeep.store, view, cells, uuid4().hex)
    if batch is None:
        return Merged(0, 0)
    counts = upkeep.merge(batch)
    return Merged(len(counts), counts.count(TOO_LARGE))


def _masked(values: npt.NDArray[Any], absent: npt.NDArray[np.bool_]) -> Any:
    if values.ndim == 1 and values.dtype != object:
        return np.ma.MaskedArray(values, absent) if absent.any() else values
    listed = values.tolist()
    return [None if gone else value for value, gone in zip(listed, absent, strict=True)]


def _taken(values: Any, places: npt.NDArray[np.int64]) -> Any:
    if isinstance(values, np.ndarray):
        return values[places]
    return [values[at] for at in places.tolist()]
