"""The way from a view to a prediction with the client, blocking and asynchronous."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from neuralstream_client import AsyncNeuralStream, FeatureView, NeuralStream
from neuralstream_client.errors import Conflict, Invalid, NotFound, RowsRefused, Unauthenticated
from tests.support.stack import RunningStack


def test_rows_that_were_written_are_read_with_the_status_of_each_missing_cell(ns, name):
    ns.features.apply(
        FeatureView.of(
            {"name": name, "entity": "user_id", "features": {"n": "int64", "label": "string"}}
        )
    )
    report = ns.features.write(
        [{"user_id": "u1", "n": 1, "label": "a"}, {"user_id": 2, "n": None}], view=name
    )
    assert (report.written, report.ok) == (2, True)
    table = ns.features.read(["u1", 2, "nobody"], [f"{name}:n", f"{name}:label"])
    assert table.rows == [
        {"user_id": "u1", f"{name}:n": 1, f"{name}:label": "a"},
        {"user_id": "2", f"{name}:n": None, f"{name}:label": None},
        {"user_id": "nobody", f"{name}:n": None, f"{name}:label": None},
    ]
    found = [table.status_of(row, f"{name}:n") for row in range(3)]
    assert found == ["PRESENT", "NULL", "NOT_FOUND"]
    assert table.status_of(1, f"{name}:label") == "NOT_FOUND"


def test_a_model_goes_from_registration_to_a_prediction_and_back(ns, served):
    view, model = served(versions=2)
    row = {"user_id": "u1", "tenure_months": 4, "monthly_charges": 79.5, "support_tickets": 3}
    ns.features.write([row], view=view)
    answer = ns.predict(model, "u1", return_features=True)
    assert (answer.version, answer.prediction, answer.probability) == (
        "v1",
        1,
        pytest.approx(0.87, abs=0.01),
    )
    assert ns.models.split(model, {"v1": 0.5, "v2": 0.5}).split == {"v1": 0.5, "v2": 0.5}
    ns.models.end_split(model)
    assert ns.models.promote(model, "v2", expected_production="v1").production_version == "v2"
    assert ns.models.rollback(model).production_version == "v1"
    assert [version.version for version in ns.models.versions(model)] == ["v2", "v1"]
    kinds = {event.kind for event in ns.models.lineage(model).events}
    assert {"registered", "promoted", "rolled_back", "split_set", "split_ended"} <= kinds


def test_a_version_is_released_with_care(ns, served):
    _, model = served(versions=2)
    assert ns.models.shadow(model, "v2", sample=0.25).shadow.sample == 0.25
    assert ns.models.end_shadow(model).shadow is None
    rules = [{"metric": "error_rate", "max": 0.05}, {"metric": "p99_ms", "worse_than_baseline": 50}]
    guard = ns.models.guard(model, rules, reason="before the ramp").guard
    assert [(rule.metric, rule.max, rule.windows) for rule in guard.rules] == [
        ("error_rate", 0.05, 2),
        ("p99_ms", None, 2),
    ]
    ramped = ns.models.ramp(model, "v2", [(0.05, "1h"), (1.0, None)])
    assert (ramped.split, ramped.ramp.step) == ({"v1": 0.95, "v2": 0.05}, 0)
    found = ns.models.get(model)
    assert (found.guard.armed, found.ramp.version, found.shadow) == (True, "v2", None)
    assert ns.models.get_guard(model).evaluated is None
    ns.models.end_split(model)
    assert ns.models.remove_guard(model).guard is None
    assert ns.models.get_shadow(model).shadow is None


def test_many_predictions_keep_the_order_of_their_rows_and_name_each_failure(ns, served):
    view, model = served()
    rows = [
        {"user_id": i, "tenure_months": i % 60, "monthly_charges": 20.0 + i, "support_tickets": 0}
        for i in range(1500)
    ]
    ns.features.write(rows, view=view)
    table = ns.predict_many(model, [*range(1500), "nobody"])
    assert table.entity_ids[:2] == [0, 1]
    assert len(table) == 1501
    (failure,) = table.failures
    assert (failure.row, failure.code) == (1500, "missing_features")
    assert table.predictions[3] == ns.predict(model, 3).prediction


def test_a_refusal_is_an_exception_of_its_kind_with_the_place_and_what_to_do(ns, served):
    view, model = served()
    with pytest.raises(Invalid) as missing:
        ns.predict(model, "nobody")
    assert missing.value.code == "missing_features"
    assert "features=" in missing.value.cure
    assert missing.value.request_id
    with pytest.raises(NotFound, match=r"ns\.models\.list"):
        ns.predict("no_such_model", "u1")
    with pytest.raises(Conflict):
        ns.models.promote(model, "v1", expected_production="v9")
    with pytest.raises(RowsRefused, match="row 1, tenure_months") as refused:
        ns.features.write(
            [{"user_id": "a", "tenure_months": 1}, {"user_id": "b", "tenure_months": "x"}],
            view=view,
        )
    assert refused.value.report.written == 0


def test_rows_that_are_refused_are_skipped_when_asked_and_the_others_are_written(ns, served):
    view, _ = served()
    rows = [{"user_id": i, "tenure_months": "x" if i % 7 == 0 else i} for i in range(1000)]
    report = ns.features.write(rows, view=view, on_invalid="skip")
    assert (report.written, report.refused) == (857, 143)
    assert [failure.row for failure in report.failures][:3] == [0, 7, 14]
    assert ns.features.read([0, 1], view=view).columns["tenure_months"] == [None, 1]


def test_the_asynchronous_client_does_the_same(stack: RunningStack, name):
    async def flow() -> list[dict[str, object]]:
        async with AsyncNeuralStream(stack.url) as ns:
            await ns.features.apply({"name": name, "entity": "id", "features": {"n": "int64"}})
            rows = [{"id": i, "n": i} for i in range(30)]
            await ns.features.write(rows, view=name)
            listed = [view.name async for view in ns.features.list(page_size=1)]
            assert name in listed
            return (await ns.features.read([7, 8], view=name)).rows

    assert asyncio.run(flow()) == [{"id": 7, "n": 7}, {"id": 8, "n": 8}]


def test_a_stack_with_keys_refuses_a_client_without_one(stack_with_keys: RunningStack):
    with (
        NeuralStream(stack_with_keys.url) as ns,
        pytest.raises(Unauthenticated, match="NEURALSTREAM_API_KEY"),
    ):
        ns.models.get("any")


def test_another_timeout_uses_the_same_connections_and_closes_none(ns, name):
    with ns.with_options(timeout=7, retries=0) as patient:
        patient.features.apply({"name": name, "entity": "id", "features": {"n": "int64"}})
    assert ns.features.get(name).name == name


def test_an_artifact_that_is_too_large_for_a_request_is_uploaded_and_served(ns, name, tmp_path):
    hidden = 500_000
    weights = numpy_helper.from_array(np.full((1, hidden), 2.0, np.float32), "weights")
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "weights"], ["wide"]),
            helper.make_node("ReduceMax", ["wide"], ["y"], axes=[1], keepdims=1),
        ],
        "wide",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        [weights, numpy_helper.from_array(np.zeros(700_000, np.float32), "unused")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert path.stat().st_size > 4 * 1024 * 1024
    registration = {"format": "onnx", "features": ["request:x"], "kind": "regressor"}
    version = ns.models.register(name, registration, path)
    assert (version.status, version.size) == ("READY", path.stat().st_size)
    ns.models.promote(name, "v1")
    assert ns.predict(name, features={"x": 1.5}).prediction == pytest.approx(3.0)
