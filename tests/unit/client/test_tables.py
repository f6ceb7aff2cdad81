"""What frames of each library become before they are sent, and the views that are made from them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralstream_client import FeatureView
from neuralstream_client.errors import DataError
from neuralstream_client.tables import table_of
from neuralstream_client.views import views_of
from neuralstream_client.writing import WritePlan

MOMENT = datetime(2026, 2, 21, 10, 15, 0, 123456, tzinfo=UTC)
ROWS = [
    {"id": "a", "f": 1.5, "i": 1, "b": True, "s": "x", "t": MOMENT, "v": [1.0, 2.0]},
    {"id": "b", "f": None, "i": None, "b": None, "s": None, "t": None, "v": None},
    {"id": "c", "f": -0.0, "i": -(2**53) - 1, "b": False, "s": "ü\n", "t": MOMENT, "v": [0.5, 3.0]},
]
DTYPES = {
    "f": "float64",
    "i": "int64",
    "b": "bool",
    "s": "string",
    "t": "timestamp",
    "v": "float64",
}


def pandas_of(rows):
    frame = pd.DataFrame(rows)
    frame["i"] = pd.array([row["i"] for row in rows], dtype="Int64")
    frame["b"] = pd.array([row["b"] for row in rows], dtype="boolean")
    return frame


KINDS = {
    "dicts": lambda rows: rows,
    "columns": lambda rows: {name: [row[name] for row in rows] for name in rows[0]},
    "pandas": pandas_of,
    "pandas over Arrow": lambda rows: pa.Table.from_pylist(rows).to_pandas(
        types_mapper=pd.ArrowDtype
    ),
    "polars": pl.DataFrame,
    "polars lazy": pl.LazyFrame,
    "Arrow": pa.Table.from_pylist,
    "Arrow batch": pa.RecordBatch.from_pylist,
}


def values(table, name):
    return table.column(name, 0, table.length)


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_of_every_kind_has_the_same_values_and_makes_the_same_view(kind):
    frame = KINDS[kind](ROWS)
    table = table_of(frame)
    assert (table.names, table.length) == (tuple(ROWS[0]), 3)
    for name in ROWS[0]:
        assert values(table, name) == [row[name] for row in ROWS], name
        assert table.column(name, 1, 3) == [row[name] for row in ROWS[1:]], name
    view = FeatureView.from_frame("v", frame, entity="id", ttl_seconds=60)
    assert view.dtypes == DTYPES
    assert [f.name for f in view.features if f.shape == [2]] == ["v"]


def test_a_frame_of_an_unknown_library_is_read_through_arrow():
    class Frame:
        def __arrow_c_stream__(self, requested_schema=None):
            return pa.table({"a": [1, None]}).__arrow_c_stream__(requested_schema)

    assert values(table_of(Frame()), "a") == [1, None]


@given(st.lists(st.none() | st.floats(allow_nan=True, width=64), max_size=30))
def test_a_missing_float_and_nan_are_none_in_every_library_and_all_others_are_exact(floats):
    expected = [None if v is None or v != v else v for v in floats]
    for column in (
        pd.Series(floats, dtype="float64"),
        pl.Series(floats, dtype=pl.Float64),
        pa.array(floats, pa.float64()),
        np.array([np.nan if v is None else v for v in floats]),
        floats,
    ):
        assert values(table_of({"c": column}), "c") == expected, type(column)


def test_whole_numbers_that_pandas_keeps_as_floats_are_whole_again():
    frame = pd.DataFrame({"id": ["a", "b"], "n": [3.0, np.nan]})
    view = FeatureView.of({"name": "v", "entity": "id", "features": {"n": "int64"}})
    (chunk,) = WritePlan(view, frame).chunks(10)
    assert chunk.columns["n"] == [3, None]
    assert type(chunk.columns["n"][0]) is int


@pytest.mark.parametrize(
    ("series", "dtype"),
    [
        (pd.Series([1, 2], dtype="int8"), "int64"),
        (pd.Series([1, 2], dtype="uint32"), "int64"),
        (pd.Series([1.0], dtype="float32"), "float32"),
        (pd.Series(["a", "b"], dtype="category"), "string"),
        (pd.Series([True]), "bool"),
        (pd.Series(pd.to_datetime(["2026-01-01"], utc=True)), "timestamp"),
        (pl.Series([1], dtype=pl.UInt8), "int64"),
        (pl.Series([1.0], dtype=pl.Float32), "float32"),
        (pl.Series(["a"], dtype=pl.Categorical), "string"),
        (pa.array([1.0], pa.float32()), "float32"),
        (pa.array([1], pa.int16()), "int64"),
        (pa.array([MOMENT], pa.timestamp("ms", "UTC")), "timestamp"),
        ([1, 2.5], "float64"),
    ],
    ids=str,
)
def test_the_dtype_of_a_feature_follows_the_type_of_its_column(series, dtype):
    view = FeatureView.from_frame("v", {"id": ["a"] * len(series), "x": series}, entity="id")
    assert view.dtypes == {"x": dtype}


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ({"id": ["a"], "x": [None]}, "'x' cannot be told"),
        ({"id": ["a", "b"], "x": [1, "a"]}, "'x' cannot be told"),
        ({"id": ["a"], "x": [Decimal(1)]}, "exclude="),
        ({"id": ["a", "b"], "x": [[1.0], [1.0, 2.0]]}, "different lengths"),
        ({"x": [1]}, "no column 'id'"),
    ],
)
def test_a_column_that_makes_no_feature_is_named(frame, said):
    with pytest.raises(DataError, match=said):
        FeatureView.from_frame("v", frame, entity="id")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (42, "a int is no table"),
        ([1, 2], "list of dicts"),
        ({"a": [1], "b": [1, 2]}, "different lengths"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "several columns of one name"),
        (pd.DataFrame([[1, 2]]), "column names must be text"),
    ],
)
def test_what_is_no_table_is_refused_with_what_is_one(given, said):
    with pytest.raises(DataError, match=said):
        table_of(given)


VIEW = FeatureView.of(
    {"name": "v", "entity": "id", "features": {"x": "float64", "at": "timestamp", "n": "int64"}}
)


@pytest.mark.parametrize(
    ("frame", "options", "said"),
    [
        ({"x": [1.0]}, {}, "no column 'id'"),
        ({"id": ["a"], "y": [1.0]}, {}, "no feature 'y'"),
        ({"id": ["a"], "x": [1.0]}, {"features": ["z"]}, "no column 'z'"),
        ({"id": ["a"], "x": [1.0]}, {"event_timestamp": "when"}, "no column 'when'"),
        ({"id": ["a"], "x": [1.0]}, {"entity": ["id", "x"]}, "has the entity keys"),
    ],
)
def test_a_table_that_does_not_fit_the_view_is_refused_before_anything_is_sent(
    frame, options, said
):
    with pytest.raises(DataError, match=said):
        WritePlan(VIEW, frame, **options)


@pytest.mark.parametrize(
    ("row", "place", "said"),
    [
        ({"id": None, "x": 1.0}, "id", "no entity id"),
        ({"id": 1.5, "x": 1.0}, "id", "no entity id"),
        ({"id": True, "x": 1.0}, "id", "no entity id"),
        ({"id": "a", "x": float("inf")}, "x", "not finite"),
        ({"id": "a", "at": datetime(2026, 1, 1)}, "at", "time zone"),  # noqa: DTZ001 - the mistake
    ],
)
def test_a_value_that_no_request_can_carry_is_named_by_its_row(row, place, said):
    plan = WritePlan(VIEW, [{"id": "ok", "x": 1.0}, row])
    (failure,) = [failure for chunk in plan.chunks(10) for failure in chunk.failures]
    assert (failure.row, failure.place) == (1, place)
    assert said in failure.message


def test_event_times_need_a_value_and_a_zone():
    plan = WritePlan(
        VIEW,
        [
            {"id": "a", "x": 1.0, "when": MOMENT.astimezone(timezone(timedelta(hours=5)))},
            {"id": "b", "x": 1.0, "when": None},
            {"id": "c", "x": 1.0, "when": datetime(2026, 1, 1)},  # noqa: DTZ001 - the mistake
        ],
        event_timestamp="when",
    )
    (chunk,) = plan.chunks(10)
    assert [failure.row for failure in chunk.failures] == [1, 2]


def test_views_are_read_from_yaml_and_json_files_and_lists(tmp_path):
    text = "views:\n- {name: a, entity: id, features: {x: int64}}\n- name: b\n  entity: [u, i]\n"
    text += "  ttl_seconds: 60\n  features: [{name: y, dtype: float32, shape: [3]}]\n"
    (tmp_path / "views.yaml").write_text(text)
    first, second = views_of(tmp_path / "views.yaml")
    assert (first.keys, first.dtypes) == (("id",), {"x": "int64"})
    assert (second.keys, second.ttl_seconds, second.features[0].shape) == (("u", "i"), 60, [3])
    (tmp_path / "view.json").write_text('{"name": "a", "entity": "id", "features": {"x": "int64"}}')
    assert views_of(str(tmp_path / "view.json")) == [first]
    assert views_of([first, second.model_dump()]) == [first, second]


def test_a_view_file_that_is_wrong_says_which_view_and_field(tmp_path):
    path = tmp_path / "views.yaml"
    path.write_text("views:\n- {name: a, entity: id, features: {x: int65}}\n")
    with pytest.raises(DataError, match="'a' is wrong"):
        views_of(path)
    path.write_text("views: [")
    with pytest.raises(DataError, match="no YAML"):
        views_of(path)
    with pytest.raises(DataError, match="cannot be read"):
        views_of(tmp_path / "absent.yaml")
