"""Frames are written and come back as they were, in each library."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from neuralstream_client import FeatureView
from neuralstream_client.errors import DataError, NotFound, RowsRefused

MOMENT = datetime(2026, 2, 21, 10, 15, 0, 123456, tzinfo=UTC)
COUNT = 2500


def columns():
    return {
        "user_id": [f"u{i}" for i in range(COUNT)],
        "f": [None if i % 5 == 0 else i / 7 for i in range(COUNT)],
        "i": [None if i % 7 == 0 else i * 10**12 for i in range(COUNT)],
        "b": [None if i % 11 == 0 else i % 2 == 0 for i in range(COUNT)],
        "s": [None if i % 13 == 0 else f"text {i}" for i in range(COUNT)],
        "t": [None if i % 17 == 0 else MOMENT + timedelta(seconds=i) for i in range(COUNT)],
        "v": [None if i % 19 == 0 else [i / 2, 1.0] for i in range(COUNT)],
    }


def arrow():
    return pa.table(columns())


def polars():
    return pl.DataFrame(columns())


def pandas():
    return arrow().to_pandas(
        types_mapper={pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}.get
    )


@pytest.mark.parametrize("make", [arrow, polars, pandas], ids=lambda make: make.__name__)
def test_a_frame_is_written_in_chunks_and_read_back_equal_in_every_library(ns, name, make):
    frame = make()
    ns.features.apply(FeatureView.from_frame(name, frame, entity="user_id"))
    seen = []
    report = ns.features.write(
        frame, view=name, progress=lambda done, total: seen.append((done, total))
    )
    assert (report.written, report.refused, report.rows) == (COUNT, 0, COUNT)
    assert seen[-1] == (COUNT, COUNT)
    table = ns.features.read(frame["user_id"], view=name)
    assert table.columns == {k: v for k, v in columns().items() if k != "user_id"}
    assert set(table.status["f"].values()) == {"NULL"}
    assert table.to_arrow().equals(arrow())
    assert_frame_equal(table.to_polars(), polars())
    returned = table.to_pandas()
    assert returned["i"].dtype == "Int64"
    assert returned["i"].isna().sum() == sum(value is None for value in columns()["i"])
    assert returned["t"].dropna().tolist() == [t for t in columns()["t"] if t is not None]
    assert returned["f"].fillna(-1).tolist() == [-1 if f is None else f for f in columns()["f"]]


def test_wide_rows_are_divided_by_their_size_and_all_arrive(ns, name):
    wide = {"user_id": list(range(400)), **{f"f{i}": ["x" * 2000] * 400 for i in range(8)}}
    ns.features.apply(FeatureView.from_frame(name, wide, entity="user_id"))
    report = ns.features.write(wide, view=name)
    assert report.written == 400
    assert report.requests > 1
    assert ns.features.read([399], view=name).rows == [
        {"user_id": 399, **{f"f{i}": "x" * 2000 for i in range(8)}}
    ]


def test_event_times_of_a_frame_decide_which_value_stays(ns, name):
    ns.features.apply({"name": name, "entity": "id", "features": {"n": "int64"}})
    new = pd.DataFrame({"id": ["a", "b"], "n": [2, 2], "at": pd.to_datetime([MOMENT, MOMENT])})
    old = new.assign(n=1, at=new["at"] - pd.Timedelta(hours=1))
    assert ns.features.write(new, view=name, event_timestamp="at").written == 2
    report = ns.features.write(old, view=name, event_timestamp="at")
    assert (report.written, report.stale) == (0, 2)
    table = ns.features.read(["a", "b"], [f"{name}:n"], event_timestamps=True)
    assert table.columns == {f"{name}:n": [2, 2]}
    assert table.event_timestamps == {name: [MOMENT, MOMENT]}


def test_several_views_are_read_into_one_table(ns, name):
    for part in ("a", "b"):
        ns.features.apply({"name": name + part, "entity": "id", "features": {"n": "int64"}})
        ns.features.write([{"id": 1, "n": ord(part)}], view=name + part)
    table = ns.features.read(np.array([1, 2]), [f"{name}b:n", f"{name}a:n"])
    assert table.rows == [
        {"id": 1, f"{name}b:n": 98, f"{name}a:n": 97},
        {"id": 2, f"{name}b:n": None, f"{name}a:n": None},
    ]
    frame = table.to_pandas()
    assert frame["id"].tolist() == [1, 2], "joins with the frame that the ids came from"


def test_an_entity_of_several_keys_is_written_and_read_by_all_of_them(ns, name):
    ns.features.apply({"name": name, "entity": ["user", "item"], "features": {"n": "int64"}})
    frame = pl.DataFrame({"user": ["u", "u"], "item": [1, 2], "n": [10, 20]})
    assert ns.features.write(frame, view=name).written == 2
    table = ns.features.read([("u", 2), {"user": "u", "item": 1}], view=name)
    assert table.rows == [{"user": "u", "item": 2, "n": 20}, {"user": "u", "item": 1, "n": 10}]


def test_a_feature_that_was_added_by_someone_else_is_read_by_a_client_that_knows_the_old_view(
    ns, name
):
    ns.features.apply({"name": name, "entity": "id", "features": {"n": "int64"}})
    ns.features.write([{"id": 1, "n": 1}], view=name)
    assert ns.features.read([1], view=name).columns == {"n": [1]}
    with ns.with_options() as other:
        other.features.apply(
            {"name": name, "entity": "id", "features": {"n": "int64", "m": "bool"}}
        )
    assert ns.features.read([1], [f"{name}:m"]).columns == {f"{name}:m": [None]}
    assert ns.features.read([1], view=name).columns == {"n": [1], "m": [None]}


def test_deleting_a_view_removes_its_rows_and_reading_it_says_that_it_is_gone(ns, name):
    ns.features.apply({"name": name, "entity": "id", "features": {"n": "int64"}})
    ns.features.write([{"id": i, "n": i} for i in range(10)], view=name)
    assert ns.features.delete(name).rows_removed == 10
    with pytest.raises(NotFound, match=r"ns\.features\.apply"):
        ns.features.read([1], view=name)


def test_rows_written_before_a_refused_one_are_counted_in_the_error(ns, name):
    ns.features.apply({"name": name, "entity": "id", "features": {"x": "float64"}})
    values = [float(i) for i in range(12_000)]
    values[11_000] = float("inf")
    with pytest.raises(RowsRefused, match="row 11000, x: inf is not finite") as refused:
        ns.features.write({"id": list(range(12_000)), "x": values}, view=name)
    assert refused.value.report.written == 10_000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"ids": ["a"]}, "view='…'"),
        ({"ids": ["a"], "features": ["n"]}, "'view:n'"),
        ({"ids": ["a"], "features": "v:n"}, "is a list"),
        ({"ids": 1.5, "view": "v"}, "one entity id"),
    ],
)
def test_a_read_that_is_not_clear_says_what_to_give(ns, arguments, said):
    with pytest.raises(DataError, match=said):
        ns.features.read(**arguments)
