"""Places of a refused request lead back to rows of the table, and parts of an answer become one table."""

from __future__ import annotations

import json

import pytest

from neuralstream_client import FeatureView
from neuralstream_client.predictions import PredictionTable
from neuralstream_client.wire import PredictedPart, RowError, refused_row, write_body
from neuralstream_client.writing import WritePlan

VIEW = FeatureView.of(
    {"name": "v", "entity": "id", "features": {"a": "int64", "b": "int64"}, "ttl_seconds": 60}
)


@pytest.mark.parametrize(
    ("place", "row"),
    [
        ("rows.3.features.age", (3, "age")),
        ("rows.3.entity_id", (3, "entity_id")),
        ("rows.12", (12, "row")),
        ("columns.a.b-c[7]", (7, "a.b-c")),
        ("entity_ids.4", (4, "entity_id")),
        ("event_timestamp.5", (5, "event_timestamp")),
        ("feature_view", None),
        ("columns.age", None),
        ("event_timestamp", None),
    ],
)
def test_a_place_names_the_row_that_is_wrong_if_it_is_one_row(place, row):
    assert refused_row(place) == row


def bodies(rows):
    return [json.loads(write_body("v", chunk)) for chunk in WritePlan(VIEW, rows).chunks(10)]


def test_rows_are_sent_in_columns_unless_one_leaves_a_feature_out():
    (whole,) = bodies([{"id": "x", "a": 1, "b": None}, {"id": 2, "a": 3, "b": 4}])
    assert whole["entity_ids"] == ["x", 2]
    assert whole["columns"] == {"a": [1, 3], "b": [None, 4]}
    (partial,) = bodies([{"id": "x", "a": 1}, {"id": 2, "a": 3, "b": None}])
    assert [row["features"] for row in partial["rows"]] == [{"a": 1}, {"a": 3, "b": None}]


def test_predictions_of_several_requests_are_one_table_with_the_rows_that_failed():
    parts = [
        PredictedPart({"version": ["v1", "v1"], "prediction": [1, None]}, [RowError(1, "c", "d")]),
        PredictedPart({"version": ["v2"], "prediction": [0], "probability": [0.25]}, []),
        PredictedPart({"version": ["v1"], "prediction": [None]}, [RowError(0, "e", "f")]),
    ]
    table = PredictionTable.of("m", ["a", "b", "c", "d"], parts)
    assert table.predictions == [1, None, 0, None]
    assert table.fields["probability"] == [None, None, 0.25, None]
    assert [(failure.row, failure.code) for failure in table.failures] == [(1, "c"), (3, "e")]
    assert table.rows[3] == {
        "entity_id": "d",
        "version": "v1",
        "prediction": None,
        "probability": None,
        "error": "e",
    }
