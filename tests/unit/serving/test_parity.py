"""A served model answers what its own library answers.

Converters emit float32 graphs, so probabilities agree to 1e-5 and regression values to 1e-5 relative; the
linear format computes in float64 and agrees to 1e-12.
"""

from __future__ import annotations

import numpy as np
import pytest

from neuralstream_core.registry.records import FeatureRef
from neuralstream_core.runtimes import Predictions, load
from neuralstream_core.runtimes.binding import bind
from tests.support.trained import (
    F,
    boosted,
    linear,
    rows,
    sklearn_model,
    sklearn_onnx,
    with_string,
)

FLOAT32 = 1e-5
REFS = [FeatureRef(view="v", feature=f"f{i}") for i in range(F)]


def run(data: bytes, kind: str = "onnx") -> Predictions:
    runtime = load(kind, data)
    binding = bind(runtime.signature, REFS)
    return runtime.run(binding.columns(list(rows().T), None))


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("name", ["logistic", "forest", "boosting", "three"])
def test_sklearn_classifiers(name: str, zipmap: bool) -> None:
    model = sklearn_model(name)
    found = run(sklearn_onnx(name, zipmap=zipmap))
    expected = model.predict_proba(rows())
    np.testing.assert_allclose(found.scores, expected, atol=FLOAT32)
    sure = np.sort(expected, axis=1)
    clear = sure[:, -1] - sure[:, -2] > 10 * FLOAT32
    assert found.values[clear].tolist() == model.predict(rows())[clear].tolist()
    assert load("onnx", sklearn_onnx(name, zipmap=zipmap)).signature.classes == tuple(
        model.classes_.tolist()
    )


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_boosting_libraries(library: str) -> None:
    model, data = boosted(library)
    found = run(data)
    np.testing.assert_allclose(found.scores, model.predict_proba(rows()), atol=FLOAT32)
    assert found.values.tolist() == model.predict(rows()).tolist()


def test_linear_regression_and_several_outputs() -> None:
    for name, shape in (("regression", ()), ("outputs", (2,))):
        found = run(sklearn_onnx(name))
        expected = sklearn_model(name).predict(rows())
        assert found.values.shape[1:] == shape
        assert found.scores is None
        np.testing.assert_allclose(found.values, expected, rtol=FLOAT32, atol=FLOAT32)


def test_a_string_input_beside_numbers() -> None:
    (pipeline, frame), data = with_string()
    runtime = load("onnx", data)
    refs = [
        FeatureRef(view="v", feature="country", dtype="string"),
        FeatureRef(view="v", feature="age", dtype="float32"),
        FeatureRef(view="v", feature="spend", dtype="float32"),
    ]
    binding = bind(runtime.signature, refs)
    columns = [frame[ref.feature].to_numpy() for ref in refs]
    found = runtime.run(binding.columns(columns, None))
    expected = pipeline.predict_proba(frame)
    np.testing.assert_allclose(found.scores, expected, atol=FLOAT32)
    for at in range(20):
        one = runtime.run(
            binding.row([c[at].item() if i else c[at] for i, c in enumerate(columns)])
        )
        np.testing.assert_allclose(one.scores[0], expected[at], atol=FLOAT32)


def test_the_linear_format_is_sklearn_in_float64() -> None:
    from sklearn.linear_model import LogisticRegression

    from tests.support.trained import binary, three

    data = rows().astype(np.float64)
    for labels in (binary(), three()):
        model = LogisticRegression().fit(data, labels)
        artifact = linear(model.coef_, model.intercept_, classes=model.classes_)
        found = run(artifact, "linear")
        np.testing.assert_allclose(found.scores, model.predict_proba(data), atol=1e-12)
        assert found.values.tolist() == model.predict(data).tolist()
    regression = sklearn_model("outputs")
    found = run(linear(regression.coef_, regression.intercept_), "linear")
    np.testing.assert_allclose(found.values, regression.predict(data), atol=1e-5)


@pytest.mark.parametrize("name", ["forest", "three", "regression", "outputs"])
def test_one_row_is_the_same_as_many(name: str) -> None:
    runtime = load("onnx", sklearn_onnx(name))
    binding = bind(runtime.signature, REFS)
    data = rows()[:25]
    many = runtime.run(binding.columns(list(data.T), None))
    for at, row in enumerate(data.tolist()):
        one = runtime.run(binding.row(row))
        if many.scores is None:  # a matrix product may sum in another order
            np.testing.assert_allclose(one.values[0], many.values[at], rtol=FLOAT32)
        else:
            assert one.values.tolist()[0] == many.values.tolist()[at]
            assert one.scores.tolist()[0] == many.scores.tolist()[at]
