"""Feature views as they are declared: from arguments, dicts, files and frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from neuralstream_client.answers import ViewAnswer
from neuralstream_client.errors import DataError
from neuralstream_client.files import declared_in
from neuralstream_client.tables import ABSENT, ColumnTable, Table, TableLike, table_of

__all__ = ["Dtype", "Feature", "FeatureView", "ViewLike", "views_of"]

Dtype: TypeAlias = Literal["float32", "float64", "int64", "bool", "string", "timestamp"]

_BY_KIND: Final[dict[str, Dtype]] = {
    "float16": "float32",
    "halffloat": "float32",
    "float32": "float32",
    "float": "float32",
    "float64": "float64",
    "double": "float64",
    "bool": "bool",
    "boolean": "bool",
    "str": "string",
    "string": "string",
    "large_string": "string",
    "string_view": "string",
    "category": "string",
    "categorical": "string",
    "enum": "string",
}
_BY_TYPE: Final[dict[type, Dtype]] = {
    bool: "bool",
    int: "int64",
    float: "float64",
    str: "string",
    datetime: "timestamp",
}


class Feature(BaseModel):
    """One feature of a view.

    Args:
        name: letters, digits, ``_``, ``.``, ``-``.
        dtype: see `Dtype`.
        shape: ``[n]`` makes it a vector of n numbers.
        description: for people.
        default: what a model registered with ``missing="default"`` gets where there is no value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    dtype: Dtype
    shape: list[int] | None = None
    description: str = ""
    default: Any = None


class FeatureView(BaseModel):
    """A named set of features of one kind of entity.

    Args:
        name: letters, digits, ``_``, ``.``, ``-``.
        entity: name of the key, or of the keys of a composite entity.
        features: as `Feature`, as dicts, or as a dict of dtypes by name.
        ttl_seconds: age from which a read answers EXPIRED; ``None``: values do not expire.
        history: whether every write is also kept in the history.
        description: for people.
        owner: for people.
        tags: for people.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    entity: str | list[str]
    features: list[Feature]
    ttl_seconds: int | None = None
    history: bool = True
    description: str = ""
    owner: str = ""
    tags: dict[str, str] = Field(default_factory=dict)

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the entity's keys."""
        return (self.entity,) if isinstance(self.entity, str) else tuple(self.entity)

    @property
    def dtypes(self) -> dict[str, Dtype]:
        """By feature name."""
        return {feature.name: feature.dtype for feature in self.features}

    @property
    def body(self) -> dict[str, Any]:
        """What ``PUT /features/views/{name}`` takes."""
        return self.model_dump(exclude={"name"}, exclude_defaults=True)

    @classmethod
    def of(cls, spec: FeatureView | ViewAnswer | Mapping[str, Any]) -> FeatureView:
        """From a dict, or from what the stack answered.

        Raises:
            DataError: a field is missing, unknown or of the wrong type.
        """
        if isinstance(spec, FeatureView):
            return spec
        if isinstance(spec, ViewAnswer):
            fields = spec.model_dump(include=set(cls.model_fields), mode="json")
            known = Feature.model_fields
            fields["features"] = [
                {
                    name: value
                    for name, value in feature.items()
                    if name in known and value is not None
                }
                for feature in fields["features"]
            ]
            return cls.model_validate(fields)
        fields = dict(spec)
        if isinstance(features := fields.get("features"), Mapping):
            fields["features"] = [
                {"name": name, **({"dtype": given} if isinstance(given, str) else given)}
                for name, given in features.items()
            ]
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise DataError(
                f"the feature view {fields.get('name', '')!r} is wrong: {error}"
            ) from error

    @classmethod
    def from_frame(
        cls,
        name: str,
        frame: TableLike,
        *,
        entity: str | Sequence[str],
        event_timestamp: str | None = None,
        ttl_seconds: int | None = None,
        exclude: Sequence[str] = (),
        description: str = "",
    ) -> Self:
        """A view with one feature for each column of a frame, with the column's type.

        Args:
            name: of the view.
            frame: a table.
            entity: the column, or columns, of entity ids; no features.
            event_timestamp: the column of event times; no feature.
            ttl_seconds: see `FeatureView`.
            exclude: columns that are no features.
            description: for people.

        Raises:
            DataError: a column is missing, or its type cannot be told.
        """
        table = table_of(frame)
        keys = [entity] if isinstance(entity, str) else list(entity)
        other = [*keys, *exclude, *([event_timestamp] if event_timestamp else [])]
        if absent := [column for column in other if column not in table.names]:
            raise DataError(f"the frame has no column {absent[0]!r}; it has {list(table.names)}")
        return cls(
            name=name,
            entity=entity if isinstance(entity, str) else keys,
            features=[_feature(table, column) for column in table.names if column not in other],
            ttl_seconds=ttl_seconds,
            description=description,
        )


ViewLike: TypeAlias = FeatureView | ViewAnswer | Mapping[str, Any]


def views_of(given: ViewLike | Sequence[ViewLike] | str | Path) -> list[FeatureView]:
    """Views from what `apply` takes; a path is a YAML or JSON file of one view, a list, or ``views: […]``.

    Raises:
        ConfigurationError: the file is YAML and PyYAML is not installed.
        DataError: a view is wrong, or the file cannot be read.
    """
    if isinstance(given, (str, Path)):
        return views_of(declared_in(Path(given)))
    if isinstance(given, (FeatureView, ViewAnswer)):
        return [FeatureView.of(given)]
    if isinstance(given, Mapping):
        if isinstance(listed := given.get("views"), Sequence):
            return [FeatureView.of(view) for view in listed]
        return [FeatureView.of(given)]
    return [FeatureView.of(view) for view in given]


def _feature(table: Table, column: str) -> Feature:
    values = table.column(column, 0, table.length)
    present = [value for value in values if value is not None and value is not ABSENT]
    if present and all(isinstance(value, (list, tuple)) for value in present):
        if len(lengths := {len(value) for value in present}) != 1:
            raise DataError(
                f"column {column!r} has lists of different lengths: {sorted(lengths)[:5]}"
            )
        whole = all(type(item) is int for value in present for item in value)
        return Feature(name=column, dtype="int64" if whole else "float64", shape=[lengths.pop()])
    return Feature(name=column, dtype=_dtype(table, column, present))


def _dtype(table: Table, column: str, present: Sequence[Any]) -> Dtype:
    kind = table.kind(column).lower() if isinstance(table, ColumnTable) else ""
    kind = kind.partition("[")[0].partition("(")[0].removesuffix("dtype")
    if kind in _BY_KIND:
        return _BY_KIND[kind]
    if kind.startswith(("int", "uint")):
        return "int64"
    if kind.startswith(("datetime", "timestamp")):
        return "timestamp"
    found = {_BY_TYPE.get(type(value)) for value in present}
    if found == {"int64", "float64"}:
        return "float64"
    if len(found) == 1 and (dtype := found.pop()) is not None:
        return dtype
    raise DataError(
        f"the type of column {column!r} cannot be told from its values; leave it out with "
        "exclude=[…], or declare the view with Feature(name=…, dtype=…)"
    )
