"""Every answer names its prediction, and the prediction log holds what was answered."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from neuralstream_core.features._codec import Codec
from neuralstream_core.monitoring.layout import HOUR
from neuralstream_core.outcomes.ids import PredictionId
from neuralstream_core.outcomes.log import sampled
from neuralstream_core.outcomes.rows import PredictionRows
from neuralstream_core.outcomes.views import PREDICTIONS, internal_views
from neuralstream_core.redis.port import RedisPort
from neuralstream_core.registry.requests import LogSpec, ModelEdit
from neuralstream_core.time import system_clock
from tests.integration.serving.conftest import NAMESPACE, Function, World, by
from tests.support.jobs import linear

FEATURES = ["users:age", "users:spend"]
INFER = "POST /v2/models/{model}/infer"
VIEW = internal_views(NAMESPACE)[PREDICTIONS]
DECODER = Codec(VIEW, NAMESPACE, 0).decoder(None)


@pytest.fixture
def users(world: World) -> World:
    """Twelve users, and models of each kind."""
    world.view("users", {"age": "int64", "spend": "float64"})
    world.write("users", {f"u{i}": {"age": i, "spend": i / 2} for i in range(12)})
    return world


def rows(entries: list[bytes]) -> dict[str, dict[str, Any]]:
    """What the history is to hold, by id; values that are NULL left out."""
    found: dict[str, dict[str, Any]] = {}
    for part in PredictionRows(NAMESPACE).parts(entries, system_clock()):
        for entity, data in zip(part.entities, part.rows, strict=True):
            row = DECODER.decode(data, 0)
            cells = zip(row.names, row.values, strict=True)
            found[entity.decode()] = {name: value for name, value in cells if value is not None}
    return found


def kept(world: World) -> dict[str, dict[str, Any]]:
    """The rows of what the engine logged since the last call."""
    seen, world.recorder.observations = world.recorder.observations, []
    return rows([entry.data for one in seen for entry in one.log])


def test_an_answer_and_its_header_name_the_prediction_that_is_logged(
    users: World, function: Function, redis_port: RedisPort
) -> None:
    users.serve("m", linear([1.0, 10.0], 0.5), FEATURES, kind="linear")
    before = system_clock() // 1000 * 1000
    answer = function.answer("POST /predict/{model_name}", {"model_name": "m"}, {"entity_id": "u2"})
    named = json.loads(answer["body"])["prediction_id"]
    assert answer["headers"]["x-prediction-id"] == named
    made = PredictionId.parse(named)
    assert (made.model, made.version, made.row) == ("m", "v1", None)
    assert before <= made.at <= system_clock()
    (stream,) = redis_port.flight([(b"XRANGE", f"{{test:m:m:v1:{made.at // HOUR}}}p", b"-", b"+")])
    assert isinstance(stream, list)
    ((_, fields),) = stream  # type: ignore[misc]
    assert rows([fields[1]]) == {  # type: ignore[index]
        named: {
            "model": "m",
            "version": "v1",
            "value": 12.5,
            "entity": "u2",
            "weight": 1.0,
            "shadow": False,
        }
    }


def test_rows_of_a_batch_have_ids_and_those_that_failed_have_none(users: World) -> None:
    classes = linear(np.eye(3, 2), [0.0, 0.0, 1.0], classes=["x", "y", "z"])
    users.serve("m", classes, FEATURES, kind="linear")
    users.registry.edit_model("m", ModelEdit(log=LogSpec(features=True)), by())
    found = users.engine.predict_columns("m", ["u1", "nobody", "u7"])
    logged = kept(users)
    ids = [f"m:v1:{found.unique}:{row}" for row in (0, 2)]
    assert list(logged) == ids
    last = logged[ids[1]]
    assert (last["label"], last["entity"]) == (found.prediction[2], "u7")
    assert last["probability"] == found.probability[2]  # type: ignore[index]
    shares = [found.probabilities[name][2] for name in "xyz"]
    assert json.loads(last["probabilities"]) == shares
    assert json.loads(last["inputs"]) == {"users:age": 7, "users:spend": 3.5}


def test_an_inference_on_tensors_is_named_by_its_header(users: World, function: Function) -> None:
    users.serve("m", linear([1.0, 10.0], 0.5), FEATURES, kind="linear")
    body = {"parameters": {"entity_id": "u2"}}
    one = function.answer(INFER, {"model": "m"}, body)["headers"]["x-prediction-id"]
    assert PredictionId.parse(one).row is None
    found = users.engine.infer("m", lambda _: {"input": np.array([[1.0, 2.0], [3.0, 4.0]])})
    logged = kept(users)
    assert list(logged) == [f"{found.id}:0", f"{found.id}:1"]
    assert [row["value"] for row in logged.values()] == [21.5, 43.5]
    alone = users.engine.infer("m", lambda _: {"input": np.array([[1.0, 2.0]])})
    assert list(kept(users)) == [alone.id]


def test_a_sample_is_the_same_whoever_asks_and_says_what_each_row_stands_for(
    users: World,
) -> None:
    users.serve("m", linear([1.0, 10.0], 0.5), FEATURES, kind="linear")
    users.registry.edit_model("m", ModelEdit(log=LogSpec(sample=0.25)), by())
    found = users.engine.predict_columns("m", [f"u{i % 12}" for i in range(400)])
    chosen = np.flatnonzero(sampled(found.unique, np.arange(400), 0.25)).tolist()
    logged = kept(users)
    assert list(logged) == [f"m:v1:{found.unique}:{row}" for row in chosen]
    assert {row["weight"] for row in logged.values()} == {4.0}
    users.registry.edit_model("m", ModelEdit(log=LogSpec(sample=0.0)), by())
    assert users.engine.predict("m", "u1").id
    assert kept(users) == {}


def test_a_sample_has_its_share_of_ids() -> None:
    """Of 200,000 ids 10 %, within five standard deviations; of one request and over requests."""
    alone = np.array([-1])
    of_one = sampled("01ARYZ6S41TSV4RRFFQ69G5FAV", np.arange(100_000), 0.1).sum()
    over = sum(bool(sampled(f"01ARYZ6S41{i:016d}", alone, 0.1)[0]) for i in range(20_000))
    assert abs(of_one - 10_000) < 5 * 95
    assert abs(over - 2_000) < 5 * 43
