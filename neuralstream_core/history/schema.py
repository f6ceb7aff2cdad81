"""The columns of the history's Parquet files: one row per written row, one file per view generation and day.

==================  =========  =========================================================================
``_entity``         VARCHAR    text of `entity_bytes`: the id, or the length-prefixed parts of a composite one
``_event_time``     BIGINT     microseconds since the epoch, UTC
``_write_time``     BIGINT     microseconds, when the row was appended to the log
``_request_id``     VARCHAR    with ``_row`` it identifies the row
``_row``            INTEGER    position of the row in its request
``_schema_version`` INTEGER    of the view, when the row was written
``_written_<k>``    BIGINT     bit *i*: whether the feature at position 32·k + i was written, as NULL or with
                               a value
features            by dtype   NULL where not written and where written as NULL
==================  =========  =========================================================================

Times are whole microseconds because Athena's timestamps keep milliseconds. Files are sorted by entity, event
time, write time, request id and row: in this order the last of two rows with equal event times wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from neuralstream_core.features.schema import Feature, FeatureView
from neuralstream_core.features.values import Dtype

__all__ = ["BITS", "ORDER", "Column", "columns_of", "feature_columns", "written_column"]

BITS: Final = 32
"""Features per ``_written_`` column."""
ORDER: Final = ("_entity", "_event_time", "_write_time", "_request_id", "_row")
_TYPES: Final[Mapping[Dtype, str]] = {
    Dtype.FLOAT32: "FLOAT",
    Dtype.FLOAT64: "DOUBLE",
    Dtype.INT64: "BIGINT",
    Dtype.BOOL: "BOOLEAN",
    Dtype.STRING: "VARCHAR",
    Dtype.TIMESTAMP: "BIGINT",
}


class Column(NamedTuple):
    """One column of a file; ``type`` is DuckDB's."""

    name: str
    type: str


def columns_of(view: FeatureView) -> list[Column]:
    """All columns of files of ``view`` at its schema version, in order."""
    words = range((len(view.features) + BITS - 1) // BITS)
    names = feature_columns(view)
    return [
        Column("_entity", "VARCHAR"),
        Column("_event_time", "BIGINT"),
        Column("_write_time", "BIGINT"),
        Column("_request_id", "VARCHAR"),
        Column("_row", "INTEGER"),
        Column("_schema_version", "INTEGER"),
        *(Column(f"_written_{word}", "BIGINT") for word in words),
        *(Column(names[feature.name], _type_of(feature)) for feature in view.features),
    ]


def feature_columns(view: FeatureView) -> dict[str, str]:
    """The column of each feature, by its name.

    It is the name itself. SQL does not tell ``Age`` from ``age``, so where two differ by case only the later
    one is ``_<position>_<name>``, which no feature can be called.
    """
    seen: set[str] = set()
    found: dict[str, str] = {}
    for position, feature in enumerate(view.features):
        folded = feature.name.lower()
        found[feature.name] = f"_{position}_{feature.name}" if folded in seen else feature.name
        seen.add(folded)
    return found


def written_column(position: int) -> tuple[str, int]:
    """The column and the bit, ``1 << i``, that tell whether the feature at ``position`` was written."""
    word, bit = divmod(position, BITS)
    return f"_written_{word}", 1 << bit


def _type_of(feature: Feature) -> str:
    type_ = _TYPES[feature.dtype]
    return type_ if feature.size is None else f"{type_}[]"
