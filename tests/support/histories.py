"""Random histories of one view, written as the Parquet files that the compaction makes, and label rows."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np

from neuralstream_core.features.entity import entity_bytes
from neuralstream_core.features.schema import Feature, FeatureView
from neuralstream_core.features.values import Dtype
from neuralstream_core.history.schema import ORDER, columns_of, feature_columns, written_column
from neuralstream_core.parquet import quoted

DAY = 86_400_000_000
START = 1_790_000_000_000_000 // DAY * DAY
_NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Row(NamedTuple):
    """One written row; ``cells`` holds the features that were written, as NULL or with a value."""

    entity: str
    event_time: int
    write_time: int
    request_id: str
    row: int
    schema_version: int
    cells: dict[str, Any]

    @property
    def rank(self) -> tuple[int, int, str, int]:
        return self.event_time, self.write_time, self.request_id, self.row


def view_of(
    *features: Feature, name: str = "v", keys: tuple[str, ...] = ("id",), **more: Any
) -> FeatureView:
    """A view of the catalog."""
    return FeatureView(
        name=name,
        keys=keys,
        features=features,
        generation="g1",
        created_at=_NOW,
        updated_at=_NOW,
        **more,
    )


def entity_of(view: FeatureView, *ids: str) -> str:
    """The text by which files name an entity."""
    return entity_bytes(view.keys, ids[0] if len(ids) == 1 else ids).decode()


def write_files(
    view: FeatureView, rows: list[Row], folder: Path, pieces: int = 1, seed: int = 0
) -> list[list[str]]:
    """Files by day: one per schema version and piece, each sorted; rows are dealt to pieces at random."""
    deal = random.Random(seed)
    groups: dict[int, dict[tuple[int, int], list[Row]]] = {}
    for row in rows:
        piece = (row.schema_version, deal.randrange(pieces))
        groups.setdefault(row.event_time // DAY, {}).setdefault(piece, []).append(row)
    days: list[list[str]] = []
    database = duckdb.connect(config={"threads": 1})
    for day in sorted(groups):
        days.append([])
        for (version, piece), some in sorted(groups[day].items()):
            path = str(folder / f"{day}-{version}-{piece}.parquet")
            _write(database, view, version, some, path)
            days[-1].append(path)
    return days


def _write(database: Any, view: FeatureView, version: int, rows: list[Row], path: str) -> None:
    # a file has the columns of its schema version; version n knows the first features of the view
    known = view.model_copy(update={"features": view.features[: features_of(view, version)]})
    columns = columns_of(known)
    names = feature_columns(known)
    database.execute(
        f"CREATE OR REPLACE TABLE t ({', '.join(f'{quoted(c.name)} {c.type}' for c in columns)})"
    )
    values: list[list[Any]] = []
    for row in rows:
        cells = {names[name]: value for name, value in row.cells.items()}
        for name in row.cells:
            word, bit = written_column(view.index[name])
            cells[word] = cells.get(word, 0) | bit
        fixed = (
            row.entity,
            row.event_time,
            row.write_time,
            row.request_id,
            row.row,
            row.schema_version,
        )
        rest = (0 if c.name.startswith("_written_") else None for c in columns[len(fixed) :])
        given = dict(zip((c.name for c in columns), (*fixed, *rest), strict=True))
        values.append(list((given | cells).values()))
    arrays: dict[str, np.ndarray] = {}
    for place, column in enumerate(columns):
        arrays[column.name] = np.empty(len(rows), object)
        arrays[column.name][:] = [row[place] for row in values]
    database.register("given", arrays)
    database.execute("INSERT INTO t SELECT * FROM given")
    order = ", ".join(ORDER)
    database.execute(f"COPY (SELECT * FROM t ORDER BY {order}) TO '{path}' (FORMAT parquet)")  # noqa: S608


def features_of(view: FeatureView, version: int) -> int:
    """Features that a view had at a schema version: each version added two."""
    return len(view.features) - 2 * (view.schema_version - version)


def random_value(deal: random.Random, feature: Feature) -> Any:
    """A value of the feature's dtype, or NULL."""
    if deal.random() < 0.2:
        return None
    match feature.dtype:
        case Dtype.FLOAT64 | Dtype.FLOAT32:
            one = lambda: float(deal.randrange(-1000, 1000)) / 8  # noqa: E731
        case Dtype.INT64 | Dtype.TIMESTAMP:
            one = lambda: deal.choice((-(2**63), 2**63 - 1, 0, deal.randrange(10**6)))  # noqa: E731
            if feature.dtype is Dtype.TIMESTAMP:
                one = lambda: START + deal.randrange(DAY)  # noqa: E731
        case Dtype.BOOL:
            one = lambda: deal.random() < 0.5  # noqa: E731
        case Dtype.STRING:
            one = lambda: deal.choice(("", "ä", "a'b", "x" * 50, str(deal.random())))  # noqa: E731
    return one() if feature.size is None else [one() for _ in range(feature.size)]
