"""Training sets by the client, on the laptop stack: through the route, the state machine and the history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from neuralstream_client.command.app import app
from neuralstream_client.errors import DataError, Invalid, TrainingSetFailed

NOW = datetime(2026, 2, 21, 10, 15, tzinfo=UTC)


@pytest.fixture
def view(ns, name):
    """A view without any written row: what is compared here is labels, columns and ways."""
    ns.features.apply(
        {"name": name, "entity": "user_id", "features": {"age": "int64", "x": "float64"}}
    )
    return name


def columns():
    return {
        "user_id": ["u1", "u2", "u1"],
        "at": [NOW, NOW + timedelta(hours=1), NOW],
        "label": [1, 0, 1],
    }


@pytest.mark.parametrize(
    "make", [pd.DataFrame, pl.DataFrame, pa.table, dict], ids=lambda f: f.__name__
)
def test_labels_come_back_in_their_own_kind_with_a_column_for_each_feature(ns, view, make):
    labels = make(columns())
    made = ns.training_set(
        labels, features=[f"{view}:x", f"{view}:age"], timestamp="at", timeout=60
    )
    assert type(made.frame) is type(labels)
    # a polars frame iterates over its columns, the others over their names
    names = getattr(made.frame, "column_names", None) or getattr(made.frame, "columns", made.frame)
    assert list(names) == ["user_id", "at", "label", "x", "age"]
    assert made.features == ["x", "age"]
    assert len(made.sha256) == 64
    assert ns.training_sets.get(made.id).result.coverage["age"].present == 0


def test_a_pandas_index_stays(ns, view):
    labels = pd.DataFrame(columns(), index=[7, 3, 9])
    made = ns.training_set(labels, features=[f"{view}:x"], timestamp="at", timeout=60)
    assert made.frame.index.tolist() == [7, 3, 9]
    pd.testing.assert_frame_equal(made.frame[["user_id", "at", "label"]], labels)


def test_what_is_wrong_is_said_before_or_after_it_runs(ns, view):
    rows = [{"user_id": "u1", "at": "yesterday"}]
    with pytest.raises(TrainingSetFailed, match="ISO 8601"):
        ns.training_set(rows, features=[f"{view}:x"], timestamp="at", timeout=60)
    with pytest.raises(Invalid, match="is not a feature"):
        ns.training_set(rows, features=[f"{view}:nothing"], timestamp="at")
    with pytest.raises(DataError, match="without a zone"):
        ns.training_set([{"at": NOW.replace(tzinfo=None)}], features=[f"{view}:x"], timestamp="at")
    with pytest.raises(DataError, match="10000"):
        ns.training_set([], features=[f"{view}:x"], timestamp="at")


def test_the_command_makes_one_from_a_file_and_shows_it(ns, view, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("user,at,label\nu1,2026-02-21T10:15:00Z,1\n")
    words = ["--features", f"{view}:x", "--timestamp", "at", "--entity", "user_id=user"]
    ended = CliRunner().invoke(app, ["training-sets", "create", str(path), *words, "--url", ns.url])
    assert ended.exit_code == 0, ended.output
    assert "1 rows in" in ended.output
    job_id = next(word for word in ended.output.split() if word.startswith("job-"))
    shown = CliRunner().invoke(app, ["training-sets", "show", job_id, "--url", ns.url])
    assert f"{job_id} is SUCCEEDED" in shown.output


def test_more_labels_than_a_request_takes_are_sent_as_a_file(ns, view):
    labels = pd.DataFrame(
        {"user_id": [f"u{i}" for i in range(10_001)], "at": [NOW] * 10_001, "label": 1},
        index=range(5, 10_006),
    )
    made = ns.training_set(labels, features=[f"{view}:age"], timestamp="at", timeout=60)
    pd.testing.assert_frame_equal(made.frame.drop(columns="age"), labels)
    assert made.record.labels.endswith("/input.parquet")


def test_labels_may_be_a_file_on_this_disk(ns, view, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("user_id,at\nu1,2026-02-21T10:15:00Z\n")
    made = ns.training_set(path, features=[f"{view}:age"], timestamp="at", timeout=60)
    assert made.frame.column("user_id").to_pylist() == ["u1"]
    with pytest.raises(DataError, match="cannot be read"):
        ns.training_set(tmp_path / "none.csv", features=[f"{view}:age"], timestamp="at")
    with pytest.raises(DataError, match="say input_format"):
        ns.training_set(tmp_path / "labels", features=[f"{view}:age"], timestamp="at")


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, dict], ids=lambda f: f.__name__)
def test_a_frame_is_backfilled(ns, view, make):
    values = {"user_id": ["u1", "u2"], "at": [NOW, NOW + timedelta(hours=1)], "age": [41, None]}
    job = ns.features.backfill(view, input=make(values), timestamp="at")
    done = ns.jobs.wait(job, timeout=60)
    assert done.outcome.rows == 2
    assert [row["age"] for row in ns.features.read(["u1", "u2"], view=view).rows] == [41, None]
