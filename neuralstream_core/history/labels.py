"""The labels of a training set as the relation ``labels`` that `neuralstream_core.history.join` reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from neuralstream_core.errors import FieldError, Invalid
from neuralstream_core.parquet import quoted
from neuralstream_core.types import MAX_ENTITY_ID

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["define_labels", "register_rows"]

_ZONE: Final = "(Z|z|[+-][0-9]{2}(:?[0-9]{2})?)$"
_TEXT: Final = "VARCHAR"
_WHOLE: Final = frozenset(
    {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"}
    | {"UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"}
)
_TYPES: Final[Mapping[frozenset[type], str]] = {
    frozenset({bool}): "BOOLEAN",
    frozenset({int}): "BIGINT",
    frozenset({float}): "DOUBLE",
    frozenset({int, float}): "DOUBLE",
    frozenset({str}): _TEXT,
    frozenset(): _TEXT,
}
_INT64: Final = range(-(2**63), 2**63)
_SHOWN: Final = 100


def register_rows(database: DuckDBPyConnection, rows: Sequence[Mapping[str, Any]]) -> str:
    """Make JSON objects a relation; a key that an object lacks is null.

    Returns:
        Its name, for `define_labels`.

    Raises:
        Invalid: no rows, or a key has values of several types, or ones that are no scalars.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not names:
        raise Invalid.at("labels.rows", "must hold at least one row with a column")
    columns: dict[str, np.ndarray] = {}
    selected: list[str] = []
    for place, name in enumerate(names):
        values = np.empty(len(rows), object)
        values[:] = [row.get(name) for row in rows]
        kinds = frozenset(type(value) for value in values if value is not None)
        type_ = _TYPES.get(kinds)
        if type_ is None:
            raise Invalid.at(
                "labels.rows",
                f"{name[:128]} must hold values of one type: numbers, texts or booleans",
            )
        if type_ == "BIGINT" and not all(v is None or v in _INT64 for v in values):
            raise Invalid.at("labels.rows", f"{name[:128]} holds a number beyond int64")
        columns[f"c{place}"] = values
        selected.append(f"CAST(c{place} AS {type_}) AS {quoted(name)}")
    _distinct(names, "labels.rows")
    database.register("given_rows", columns)
    database.execute(
        f"CREATE OR REPLACE TEMP TABLE given AS SELECT {', '.join(selected)} FROM given_rows"  # noqa: S608
    )
    database.unregister("given_rows")
    return "given"


def define_labels(
    database: DuckDBPyConnection, source: str, time: str, entities: Sequence[Sequence[str]]
) -> tuple[list[str], int]:
    """Make the table ``labels`` from a relation, in its order of rows.

    Args:
        source: relation or table function that holds the labels.
        time: the column of each label's time: text of ISO 8601 with a zone, or a timestamp with time zone.
        entities: per lookup the columns that hold the entity's ids, in the order of the view's keys: texts
            or whole numbers, which stand for their decimal digits.

    Returns:
        The names of the columns (``_c0`` is the first) and the number of rows.

    Raises:
        Invalid: a column is missing or of another type, or holds something else in some rows, which are
            named by their number, from 0.
    """
    described = database.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()  # noqa: S608
    types = {str(row[0]): str(row[1]) for row in described}
    _distinct(list(types), "labels")
    selected = [f"{_time(types, time)} AS _time"]
    for place, parts in enumerate(entities, 1):
        ids = [_id(types, part) for part in parts]
        prefixed = [f"strlen({part}) || ':' || {part}" for part in ids[:-1]]
        selected.append(f"{' || '.join([*prefixed, ids[-1]])} AS _entity_{place}")
    selected += [f"{quoted(name)} AS _c{place}" for place, name in enumerate(types)]
    database.execute(
        f"CREATE OR REPLACE TEMP TABLE labels AS SELECT row_number() OVER () AS _label, {', '.join(selected)}"  # noqa: S608
        f" FROM {source}"
    )
    names = list(types)
    _check(database, f"_c{names.index(time)}", time, "_time IS NULL", _TIME_RULE)
    for part in dict.fromkeys(part for parts in entities for part in parts):
        column = f"_c{names.index(part)}"
        length = f"length(CAST({column} AS {_TEXT}))"
        wrong = f"{column} IS NULL OR {length} NOT BETWEEN 1 AND {MAX_ENTITY_ID}"
        _check(database, column, part, wrong, f"is no id of 1 to {MAX_ENTITY_ID} characters")
    ((rows,),) = database.execute("SELECT count(*) FROM labels").fetchall()
    return names, rows


_TIME_RULE: Final = "is no ISO 8601 time with a zone, such as 2026-01-31T12:00:00Z"


def _time(types: Mapping[str, str], name: str) -> str:
    type_ = _type_of(types, name, "timestamp")
    column = quoted(name)
    if type_ == "TIMESTAMP WITH TIME ZONE":
        return f"CASE WHEN isfinite({column}) THEN epoch_us({column}) END"
    if type_ == _TEXT:
        moment = f"TRY_CAST({column} AS TIMESTAMPTZ)"
        return f"CASE WHEN regexp_matches({column}, '{_ZONE}') THEN epoch_us({moment}) END"
    raise Invalid.at(
        "timestamp",
        f"the column {name} must hold times with a zone: ISO 8601 texts, or timestamps in UTC",
        code="invalid_labels",
    )


def _id(types: Mapping[str, str], name: str) -> str:
    type_ = _type_of(types, name, "entity")
    if type_ == _TEXT:
        return quoted(name)
    if type_ in _WHOLE:
        return f"CAST({quoted(name)} AS {_TEXT})"
    raise Invalid.at(
        "entity", f"the column {name} must hold texts or whole numbers", code="invalid_labels"
    )


def _type_of(types: Mapping[str, str], name: str, loc: str) -> str:
    if name not in types:
        raise Invalid.at(loc, f"the labels have no column {name[:128]}", code="invalid_labels")
    return types[name]


def _distinct(names: Sequence[str], loc: str) -> None:
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other is not name:
            raise Invalid.at(
                loc,
                f"the columns {other} and {name} differ only in case, which SQL does not tell apart",
                code="invalid_labels",
            )


def _check(database: DuckDBPyConnection, column: str, name: str, wrong: str, rule: str) -> None:
    query = (
        f"SELECT _label - 1, {column} IS NULL FROM labels WHERE {wrong} ORDER BY 1 LIMIT {_SHOWN}"  # noqa: S608
    )
    found = database.execute(query).fetchall()
    if found:
        raise Invalid(
            f"{name} {rule}, in {'at least ' if len(found) == _SHOWN else ''}{len(found)} labels",
            code="invalid_labels",
            errors=[
                FieldError(f"labels.{row}.{name}", "is null" if null else rule)
                for row, null in found
            ],
        )
