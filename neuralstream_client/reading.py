"""What is read: features of many entities, which become a frame of the caller's library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from neuralstream_client.errors import DataError
from neuralstream_client.extras import extra
from neuralstream_client.tables import plain

__all__ = ["MAX_ENTITIES", "FeatureTable", "entity_list", "grouped"]

MAX_ENTITIES: Final = 1000
"""Entities that one request may name."""

_PANDAS: Final = {
    "float32": "float32",
    "float64": "float64",
    "int64": "Int64",
    "bool": "boolean",
    "string": "string",
}


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """Features of many entities, in the order they were asked for.

    Args:
        keys: names of the entity's keys.
        entity_ids: as they were given, so that the table joins with the one they came from.
        columns: values by feature; ``None`` where there is none. Timestamps are datetimes in UTC.
        status: by feature, for each row whose value is not present: NULL, EXPIRED or NOT_FOUND.
        event_timestamps: by view, the newest event time of each row among its features; if asked for.
        dtypes: by feature.
        vectors: features whose values are lists.
    """

    keys: tuple[str, ...]
    entity_ids: list[Any]
    columns: dict[str, list[Any]]
    status: dict[str, dict[int, str]]
    event_timestamps: dict[str, list[datetime | None]]
    dtypes: Mapping[str, str]
    vectors: frozenset[str] = field(default_factory=frozenset)

    def __len__(self) -> int:
        return len(self.entity_ids)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One dict for each entity: its keys and its features."""
        columns = self._all_columns()
        return [
            dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        ]

    def status_of(self, row: int, feature: str) -> str:
        """PRESENT, NULL, EXPIRED or NOT_FOUND.

        Raises:
            KeyError: the feature was not read.
        """
        if feature not in self.columns:
            raise KeyError(feature)
        return self.status.get(feature, {}).get(row, "PRESENT")

    def to_pandas(self) -> Any:
        """A pandas frame; whole numbers, booleans and text have pandas' types that can be missing.

        Raises:
            ConfigurationError: pandas is not installed.
        """
        pandas = extra("pandas", "pandas")
        made = {}
        for name, values in self._all_columns().items():
            dtype = "object" if name in self.vectors else _PANDAS.get(self.dtypes.get(name, ""))
            if name in self.keys:
                dtype = None
            if self.dtypes.get(name) == "timestamp":
                made[name] = pandas.to_datetime(pandas.Series(values, dtype="object"), utc=True)
            else:
                made[name] = pandas.Series(values, dtype=dtype)
        return pandas.DataFrame(made)

    def to_polars(self) -> Any:
        """A polars frame.

        Raises:
            ConfigurationError: polars is not installed.
        """
        polars = extra("polars", "polars")
        types = {
            "float32": polars.Float32,
            "float64": polars.Float64,
            "int64": polars.Int64,
            "bool": polars.Boolean,
            "string": polars.String,
            "timestamp": polars.Datetime("us", "UTC"),
        }
        schema = {}
        for name in self._all_columns():
            inner = types.get(self.dtypes.get(name, ""))
            schema[name] = polars.List(inner) if name in self.vectors else inner
        return polars.DataFrame(self._all_columns(), schema=schema)

    def to_arrow(self) -> Any:
        """A pyarrow table.

        Raises:
            ConfigurationError: pyarrow is not installed.
        """
        arrow = extra("pyarrow", "arrow")
        types = {
            "float32": arrow.float32(),
            "float64": arrow.float64(),
            "int64": arrow.int64(),
            "bool": arrow.bool_(),
            "string": arrow.string(),
            "timestamp": arrow.timestamp("us", "UTC"),
        }
        made = {}
        for name, values in self._all_columns().items():
            inner = types.get(self.dtypes.get(name, ""))
            made[name] = arrow.array(values, arrow.list_(inner) if name in self.vectors else inner)
        return arrow.table(made)

    def _all_columns(self) -> dict[str, list[Any]]:
        keys = {
            key: _one_type([_part(entity, key, i) for entity in self.entity_ids])
            for i, key in enumerate(self.keys)
        }
        return {**keys, **self.columns}


def _part(entity: Any, key: str, position: int) -> Any:
    """One key of an entity: of a dict by name, of a list by position; another id is its only key."""
    if isinstance(entity, dict):
        return entity[key]
    return entity[position] if isinstance(entity, list) else entity


def _one_type(ids: list[Any]) -> list[Any]:
    """Ids as a column of one type: text, if they are not all whole numbers."""
    return ids if {*map(type, ids)} == {int} else [str(value) for value in ids]


def entity_list(ids: Any) -> list[Any]:
    """Entity ids as a list: from one id, a list, or a column of pandas, polars, numpy or Arrow.

    Raises:
        DataError: it is none of these.
    """
    if isinstance(ids, (str, int)):
        return [ids]
    for conversion in ("to_pylist", "to_list", "tolist"):
        if hasattr(ids, conversion):
            return [plain(value) for value in getattr(ids, conversion)()]
    if isinstance(ids, Mapping) or not hasattr(ids, "__iter__"):
        raise DataError("give one entity id, or a list or a column of them")
    return [list(value) if isinstance(value, tuple) else plain(value) for value in ids]


def grouped(
    features: Sequence[str] | None, view: str | None
) -> dict[str, tuple[list[str] | None, bool]]:
    """Names of the features to read by view (``None``: all), and whether they are answered as ``view:name``.

    Raises:
        DataError: neither a view nor features are given, or a feature names none.
    """
    if features is None:
        if view is None:
            raise DataError("give view='…', or features=['view:feature', …]")
        return {view: (None, False)}
    if isinstance(features, str):
        raise DataError(f"features is a list: ['{features}']")
    found: dict[str, tuple[list[str] | None, bool]] = {}
    for given in dict.fromkeys(features):
        named, colon, name = given.rpartition(":")
        of = named if colon else view
        if of is None:
            raise DataError(f"write {given!r} as 'view:{given}', or give view='…'")
        names, qualified = found.setdefault(of, ([], bool(colon)))
        if qualified != bool(colon):
            raise DataError(f"write all features of {of} with its name before them, or none")
        if names is not None:
            names.append(name)
    return found
