"""Many rows at once: the same answers, errors of their own, and one flight."""

from __future__ import annotations

import numpy as np
import pytest

from neuralstream_core.errors import Invalid

from .conftest import World, by
from .test_engine import linear, onnx_sum


@pytest.fixture
def shop(world: World) -> World:
    world.view("users", {"age": "int64", "spend": "float64"})
    world.view("items", {"price": "float64"}, "item_id")
    world.write(
        "users",
        {f"u{i}": {"age": i, "spend": None if i % 5 == 0 else i / 2} for i in range(50)},
    )
    world.write("items", {f"i{i}": {"price": float(i)} for i in range(5)})
    return world


FEATURES = ["users:age", "users:spend"]


def test_each_row_answers_or_fails_by_itself(shop: World) -> None:
    shop.serve("m", linear([1.0, 10.0]), FEATURES, kind="linear")
    ids = [f"u{i}" for i in range(12)] + ["nobody", "u1"]
    found = shop.engine.predict_columns("m", ids)
    assert sorted(found.errors) == [0, 5, 10, 12]
    assert {error.code for error in found.errors.values()} == {"missing_features"}
    assert found.errors[0].detail == "missing features: users:spend"
    assert found.errors[12].detail == "missing features: users:age, users:spend"
    for row, entity in enumerate(ids):
        if row not in found.errors:
            one = shop.engine.predict("m", entity).answer.prediction
            assert found.prediction[row] == one
    (seen,) = [o for o in shop.recorder.observations if hasattr(o, "rows")]
    assert (seen.rows, seen.errors, seen.requests) == (10, {"missing_features": 4}, 1)
    assert seen.answered.tolist() == [row not in found.errors for row in range(len(ids))]
    assert [bool(cells.any()) for cells in seen.status] == [
        row in found.errors for row in range(14)
    ]
    assert [len(column) for column in seen.columns] == [14, 14]


def test_policies_fill_whole_columns(shop: World) -> None:
    filled = [{"feature": "users:age", "default": 7}, {"feature": "users:spend", "default": 0.25}]
    shop.serve("default", onnx_sum(), filled, missing="default")
    found = shop.engine.predict_columns("default", ["u5", "nobody", "u4"])
    assert found.prediction.tolist() == [5.25, 7.25, 6.0]
    shop.serve("null", onnx_sum(), FEATURES, missing="null")
    found = shop.engine.predict_columns("null", ["u5", "u4"])
    assert {row: error.code for row, error in found.errors.items()} == {0: "not_finite"}
    assert found.prediction[1] == 6.0


def test_overrides_and_keys_come_in_columns(shop: World) -> None:
    wanted = ["users:age", "items:price", {"feature": "request:hour", "dtype": "int64"}]
    shop.serve("m", linear([1.0, 10.0, 100.0]), wanted, kind="linear")
    found = shop.engine.predict_columns(
        "m",
        ["u1", "u2", "u3", "u4"],
        keys={"item_id": ["i1", "i2", "i3", "none"]},
        overrides={"hour": [1, 2, "x", 4]},
    )
    assert found.prediction[:2].tolist() == [111, 222]
    assert {row: error.code for row, error in found.errors.items()} == {
        2: "invalid",
        3: "missing_features",
    }
    arrays = {"hour": np.array([1, 2]), "users:age": np.array([5, 6])}
    found = shop.engine.predict_columns(
        "m", ["u1", "u2"], keys={"item_id": ["i0", "i0"]}, overrides=arrays
    )
    assert found.prediction.tolist() == [105, 206]
    with pytest.raises(Invalid, match=r"features\.nope"):
        shop.engine.predict_columns("m", ["u1"], overrides={"nope": [1]})
    with pytest.raises(Invalid, match=r"entities\.item_id"):
        shop.engine.predict_columns("m", ["u1"], overrides={"hour": [1]})


def test_versions_of_different_kinds_keep_their_rows_apart(shop: World) -> None:
    shop.serve("m", linear([1.0, 0.0]), FEATURES, kind="linear")
    words = linear([1.0, 0.0], -10.0, classes=np.array(["low", "high"]))
    shop.register("m", words, FEATURES, kind="linear")
    shop.registry.set_split("m", {"v1": 0.5, "v2": 0.5}, by())
    ids = [f"u{i}" for i in range(1, 50) if i % 5]
    found = shop.engine.predict_columns("m", ids)
    assert not found.errors
    assert found.probability is not None
    for row, entity in enumerate(ids):
        one = shop.engine.predict("m", entity)
        assert one.servable.version.version == found.versions[found.version[row]]
        assert one.answer.prediction == found.prediction[row]
        if one.answer.probability is None:
            assert np.isnan(found.probability[row])
        else:
            assert found.probability[row] == one.answer.probability
    seen = [o for o in shop.recorder.observations if hasattr(o, "rows")]
    assert sum(o.requests for o in seen) == 1
    assert sum(o.rows for o in seen) == len(ids)


def test_a_job_counts_rows_but_no_latency(shop: World) -> None:
    shop.serve("m", linear([1.0, 0.0]), FEATURES, kind="linear")
    shop.engine.predict_columns("m", ["u1", "u2"], job=True)
    (seen,) = shop.recorder.observations
    assert (seen.timings, seen.requests, seen.rows) == (None, 0, 2)


def test_nobody_asked_for(shop: World) -> None:
    shop.serve("m", linear([1.0, 0.0]), FEATURES, kind="linear")
    found = shop.engine.predict_columns("m", [])
    assert found.prediction.tolist() == []


def test_three_classes_give_every_probability(shop: World) -> None:
    coef = [[0.0, 0.0], [0.1, 0.0], [-0.1, 0.0]]
    shop.serve("m", linear(coef, classes=np.array([3, 5, 9])), FEATURES, kind="linear")
    found = shop.engine.predict_columns("m", ["u1", "u2", "u5"])
    assert found.probabilities is not None
    assert set(found.probabilities) == {"3", "5", "9"}
    for row in (0, 1):
        total = sum(column[row] for column in found.probabilities.values())
        assert total == pytest.approx(1)
        assert found.probability is not None
        label = str(found.prediction[row])
        assert found.probability[row] == found.probabilities[label][row]
    assert list(found.errors) == [2]
