"""Before a version is READY: what it is gets settled, and what cannot be served rightly is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from neuralstream_core.errors import ArtifactRejected
from neuralstream_core.registry.records import (
    FeatureRef,
    Format,
    MissingPolicy,
    Stage,
    VersionRecord,
    VersionStatus,
)
from neuralstream_core.registry.registration import Asked, Baseline, Check, Declared, samples_of
from neuralstream_core.trial.child import try_artifact
from neuralstream_core.trial.proof import Proof
from tests.support.trained import linear

REFS = tuple(FeatureRef(view="v", feature=f"f{i}") for i in range(2))


def graph(
    nodes: list[Any],
    constants: dict[str, np.ndarray] | None = None,
    outputs: tuple[tuple[str, int, list[Any]], ...] = (("y", TensorProto.FLOAT, [None, 1]),),
) -> bytes:
    """A model over ``x`` (FP32, n by 2)."""
    made = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info(*output) for output in outputs],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    model = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)],
        ir_version=8,
    )
    return bytes(model.SerializeToString())


def prove(data: bytes, check: Any = None, *, form: Format = Format.ONNX, **declared: Any) -> Proof:
    version = VersionRecord(
        model="m",
        version="v1",
        status=VersionStatus.READY,
        stage=Stage.STAGING,
        format=form,
        digest="0" * 64,
        size=0,
        features=declared.pop("features", REFS),
        missing=declared.pop("missing", MissingPolicy.ERROR),
        created_at=datetime.now(UTC),
        created_by="tests",
    )
    asked = Asked(
        samples=declared.pop("samples", {}),
        declared=Declared.model_validate(declared, strict=False),
        check=None if check is None else Check.model_validate(check),
    )
    return try_artifact(version, data, asked)


def refused(data: bytes, check: Any = None, **more: Any) -> ArtifactRejected:
    with pytest.raises(ArtifactRejected) as refusal:
        prove(data, check, **more)
    return refusal.value


WEIGHTS = {"w": np.array([[1.0], [10.0]], np.float32)}
SCORE = helper.make_node("MatMul", ["x", "w"], ["s"])


def test_a_model_that_permutes_its_rows_is_refused() -> None:
    ends = {
        "start": np.array([-1], np.int64),
        "end": np.array([-(2**40)], np.int64),
        "axis": np.array([0], np.int64),
    }
    reverse = helper.make_node("Slice", ["s", "start", "end", "axis", "start"], ["y"])
    assert refused(graph([SCORE, reverse], WEIGHTS | ends)).code == "depends_on_other_rows"


def test_a_model_that_looks_at_its_neighbours_is_refused() -> None:
    nodes = [
        SCORE,
        helper.make_node("ReduceMean", ["s"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["s", "mean"], ["y"]),
    ]
    assert refused(graph(nodes, WEIGHTS)).code == "depends_on_other_rows"


def test_a_model_that_drops_rows_by_their_values_is_refused() -> None:
    nodes = [
        SCORE,
        helper.make_node("Greater", ["s", "zero"], ["positive"]),
        helper.make_node("Reshape", ["positive", "flat"], ["mask"]),
        helper.make_node("Compress", ["s", "mask"], ["y"], axis=0),
    ]
    constants = WEIGHTS | {"zero": np.array([-1.0], np.float32), "flat": np.array([-1], np.int64)}
    assert refused(graph(nodes, constants)).code == "wrong_row_count"


def test_a_model_that_loses_the_row_axis_of_a_single_row_is_refused() -> None:
    squeeze = helper.make_node("Squeeze", ["s"], ["y"])
    data = graph([SCORE, squeeze], WEIGHTS, (("y", TensorProto.FLOAT, None),))  # type: ignore[arg-type]  # of any rank
    assert refused(data).code == "wrong_row_count"


def test_probabilities_alone_are_ambiguous_and_the_refusal_says_what_to_declare() -> None:
    nodes = [
        helper.make_node("Softmax", ["x"], ["y"], axis=1),
    ]
    data = graph(nodes, outputs=(("y", TensorProto.FLOAT, [None, 2]),))
    refusal = refused(data)
    assert refusal.code == "ambiguous_model"
    assert "declare kind classifier" in refusal.detail
    found = prove(data, classes=["a", "b"])
    assert (found.signature.kind, found.signature.scores) == ("classifier", "probability")
    assert prove(data, outputs=["left", "right"]).signature.names == ("left", "right")


def test_numbers_that_are_no_probabilities_cannot_be_declared_to_be() -> None:
    identity = graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        outputs=(("y", TensorProto.FLOAT, [None, 2]),),
    )
    refusal = refused(identity, classes=["a", "b"], scores="probability")
    assert refusal.code == "wrong_declaration"
    found = prove(identity, classes=["a", "b"]).signature
    assert (found.kind, found.scores) == ("classifier", "score")


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"outputs": ["a", "b", "c"]}, "names 3 of 2"),
        ({"classes": ["a", "b", "c"]}, "there are 3"),
        ({"scores": "logits"}, "neither classes nor scores"),
    ],
)
def test_a_declaration_that_contradicts_the_model_is_refused(
    declared: dict[str, Any], told: str
) -> None:
    identity = graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        outputs=(("y", TensorProto.FLOAT, [None, 2]),),
    )
    refusal = refused(identity, **declared)
    assert refusal.code == "wrong_declaration"
    assert told in refusal.detail


def test_a_model_is_never_tried_on_zeros_alone() -> None:
    """Scores of two classes sum to 1 where the features are zero, and nowhere else."""
    nodes = [
        helper.make_node("Add", ["x", "half"], ["y"]),
    ]
    data = graph(
        nodes, {"half": np.array([0.5], np.float32)}, (("y", TensorProto.FLOAT, [None, 2]),)
    )
    assert prove(data, classes=["a", "b"]).signature.scores == "score"


def test_the_baseline_gives_the_trial_rows_when_there_is_no_check() -> None:
    """Rows drop out only above 1000, which no typed extreme reaches and the baseline does."""
    nodes = [
        SCORE,
        helper.make_node("Less", ["s", "most"], ["few"]),
        helper.make_node("Reshape", ["few", "flat"], ["mask"]),
        helper.make_node("Compress", ["s", "mask"], ["y"], axis=0),
    ]
    constants = WEIGHTS | {"most": np.array([5e3], np.float32), "flat": np.array([-1], np.int64)}
    data = graph(nodes, constants)
    prove(data)
    baseline = Baseline(columns={"f0": [1.0, 2.0], "v:f1": [float(v) for v in range(0, 9000, 30)]})
    assert refused(data, samples=samples_of(baseline, REFS)).code == "wrong_row_count"


CHECK = {
    "inputs": [{"f0": 1.0, "f1": 2.0}, {"v:f0": 0.0, "v:f1": -1.0}],
    "expected": {"prediction": [21.5, -9.5]},
    "tolerance": 1e-6,
}
LINE = linear([1.0, 10.0], 0.5)


def test_a_check_that_holds_is_kept_with_its_largest_difference() -> None:
    found = prove(LINE, CHECK, form=Format.LINEAR).check
    assert found is not None
    assert (found.rows, found.tolerance, found.max_difference, found.ties) == (2, 1e-6, 0.0, 0)
    columns = {"f0": [1.0, 0.0], "f1": [2.0, -1.0]}
    assert prove(LINE, {**CHECK, "inputs": columns}, form=Format.LINEAR).check == found


def test_a_check_names_its_worst_rows_first() -> None:
    wrong = {**CHECK, "expected": {"prediction": [21.6, -8.0]}}
    refusal = refused(LINE, wrong, form=Format.LINEAR)
    assert refusal.code == "check_failed"
    assert [error.loc for error in refusal.errors] == [
        "check.expected.prediction.1",
        "check.expected.prediction.0",
    ]
    assert refusal.errors[0].msg == "expected -8, got -9.5"
    assert "2 of the 2 rows" in refusal.detail


def test_a_flipped_label_is_refused_and_one_in_a_tie_is_counted() -> None:
    data = linear([1.0, 0.0], 0.0, classes=np.array(["no", "yes"]))
    rows = [{"f0": 3.0, "f1": 0.0}, {"f0": 0.0, "f1": 1.0}]
    tie = {"inputs": rows, "expected": {"prediction": ["yes", "yes"]}}
    found = prove(data, tie, form=Format.LINEAR).check
    assert found is not None
    assert found.ties == 1
    flip = {"inputs": rows, "expected": {"prediction": ["no", "no"]}}
    refusal = refused(data, flip, form=Format.LINEAR)
    assert refusal.code == "check_failed"
    assert refusal.errors[0].msg == "expected no, got yes"


def test_probabilities_of_a_check_may_be_those_of_all_classes() -> None:
    data = linear([1.0, 0.0], 0.0, classes=np.array([0, 1]))
    rows = [{"f0": 0.0, "f1": 0.0}]
    expected = {"prediction": [0], "probability": [[0.5, 0.5]]}
    prove(data, {"inputs": rows, "expected": expected}, form=Format.LINEAR)
    expected = {"prediction": [0], "probability": [[0.42, 0.58]]}
    refusal = refused(data, {"inputs": rows, "expected": expected}, form=Format.LINEAR)
    assert "probability expected 0.42, got 0.5" in refusal.detail


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"inputs": [{"f9": 1.0}, {}]}, "check.inputs.features.f9"),
        ({"inputs": [{"f0": 1.0, "f1": "x"}, {"f0": 1.0, "f1": 1.0}]}, "check.inputs.0"),
        ({"inputs": [{"f0": 1.0, "f1": 1.0}, {"f0": 1.0}]}, "check.inputs.1"),
        ({"expected": {"prediction": ["a", "b"]}}, "check.expected.prediction.0"),
        (
            {"expected": {"prediction": [21.5, -9.5], "probability": [0.5, 0.5]}},
            "check.expected.probability",
        ),
    ],
    ids=["unknown feature", "wrong type", "missing cell", "text for a number", "no probability"],
)
def test_a_check_that_does_not_fit_the_model_is_refused_at_its_place(
    change: dict[str, Any], loc: str
) -> None:
    refusal = refused(LINE, {**CHECK, **change}, form=Format.LINEAR)
    assert refusal.code == "invalid_check"
    assert refusal.errors[0].loc == loc


def test_missing_cells_of_a_check_are_filled_as_the_policy_says() -> None:
    refs = (
        REFS[0],
        FeatureRef(view="v", feature="f1", default=2.0),
    )
    check = {"inputs": [{"f0": 1.0, "f1": None}], "expected": {"prediction": [21.5]}}
    prove(LINE, check, form=Format.LINEAR, features=refs, missing=MissingPolicy.DEFAULT)
