"""One row and many rows are read alike, for every family of model and every number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralstream_core.errors import Invalid
from neuralstream_core.registry.records import Signature, Tensor
from neuralstream_core.runtimes import Predictions
from neuralstream_core.serving.outputs import OutputReader

LABELS = {
    "INT64": [3, 5, 9, 11],
    "BYTES": ["low", "mid", "top", "other"],
    "BOOL": [True, False],
}
CELLS = st.one_of(
    st.sampled_from([0.0, 0.5, 1.0, 1.0000005, math.nan, math.inf, -math.inf, -0.25, 44.0]),
    st.floats(-1e6, 1e6, width=32),
    st.floats(0, 1, width=32),
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Signature, Predictions]:
    """A settled signature and outputs of a few rows, good and bad."""
    rows = draw(st.integers(1, 6))
    width = draw(st.integers(1, 4))
    form = draw(st.sampled_from(["numbers", "labels", "both", "derived", "anomaly"]))

    def numbers(columns: int) -> np.ndarray:
        cells = draw(st.lists(CELLS, min_size=rows * columns, max_size=rows * columns))
        return np.array(cells, np.float32).reshape(rows, columns)

    def tensor(name: str, datatype: str, *shape: int) -> Tensor:
        return Tensor(name=name, datatype=datatype, shape=(-1, *shape))

    if form == "numbers":
        values = numbers(width)
        names = tuple("abcd"[:width]) if width > 1 and draw(st.booleans()) else ()
        kind: Any = draw(st.sampled_from(["regressor", "embedding"]))
        outputs = [tensor("y", "FP32", *((width,) if width > 1 else ()))]
        made = Signature(kind=kind, inputs=(), outputs=tuple(outputs), names=names)
        return made, Predictions(values if width > 1 else values[:, 0], None)
    if form == "anomaly":
        made = Signature(
            kind="anomaly",
            inputs=(),
            outputs=(tensor("score", "FP32", 1),),
            classes=(-1, 1),
            scores="score",
        )
        return made, Predictions(numbers(1), None)
    meaning: Any = draw(st.sampled_from(["probability", "logits", "score", "ignored", None]))
    if form == "derived":
        classes = LABELS["BYTES"][: max(2, width)]
        made = Signature(
            kind="classifier",
            inputs=(),
            outputs=(tensor("y", "FP32", width),),
            classes=tuple(classes),
            scores=meaning if meaning not in ("ignored", None) else "score",
        )
        return made, Predictions(numbers(width), None)
    datatype = draw(st.sampled_from(sorted(LABELS)))
    labels = LABELS[datatype]
    if datatype == "BOOL":
        width = min(width, 2)
    classes_given = draw(st.booleans())
    values = np.array(draw(st.lists(st.sampled_from(labels), min_size=rows, max_size=rows)))
    if datatype == "BYTES":
        values = values.astype(object)
    outputs = [tensor("label", datatype)]
    if form == "both":
        outputs.append(tensor("scores", "FP32", width))
    kinds = ["classifier", "clusterer"] if datatype == "INT64" else ["classifier"]
    made = Signature(
        kind=draw(st.sampled_from(kinds)),  # type: ignore[arg-type]  # one of the kinds
        inputs=(),
        outputs=tuple(outputs),
        classes=tuple(labels[: max(2, width)]) if classes_given else None,
        scores=meaning if form == "both" else None,
    )
    return made, Predictions(values, numbers(width) if form == "both" else None)


@settings(deadline=None, max_examples=400)
@given(cases())
def test_one_row_is_read_as_the_same_row_among_many(case: tuple[Signature, Predictions]) -> None:
    signature, predictions = case
    reader = OutputReader(signature)
    many = reader.many(predictions)
    field, names = reader.named_numbers
    for row in range(len(predictions.values)):
        part = slice(row, row + 1)
        scores = predictions.scores
        single = Predictions(predictions.values[part], None if scores is None else scores[part])
        if not many.good[row]:
            with pytest.raises(Invalid, match="not a number"):
                reader.one(single)
            continue
        one = reader.one(single)
        assert one.prediction == many.prediction.tolist()[row]
        for single_number, column in ((one.probability, many.probability), (one.score, many.score)):
            assert single_number == (None if column is None else float(column[row]))
        by_class = one.probabilities or one.scores
        assert (by_class is not None) == (many.by_class is not None)
        if by_class is not None and many.by_class is not None:
            assert list(by_class.values()) == pytest.approx(many.by_class[row].tolist(), rel=1e-12)
            assert tuple(by_class) == names
            assert (one.probabilities is not None) == (field == "probabilities")
        assert (one.score is None) or reader.has_score
        assert isinstance(one.prediction, list) == reader.multiple


def test_a_probability_beyond_0_and_1_is_refused_and_rounding_is_not() -> None:
    reader = OutputReader(_both("probability"))
    with pytest.raises(Invalid, match="not a number"):
        reader.one(Predictions(np.array(["b"], object), np.array([[-43.0, 44.0]])))
    rounded = Predictions(np.array(["b"], object), np.array([[0.0, 1.0000005]]))
    assert reader.one(rounded).probability == 1.0


def test_a_score_may_be_any_finite_number() -> None:
    reader = OutputReader(_both("score"))
    found = reader.one(Predictions(np.array(["b"], object), np.array([[3.5e6, -3.5e6]])))
    assert (found.prediction, found.score, found.probability) == ("b", -3.5e6, None)


def test_logits_become_probabilities_without_overflow() -> None:
    signature = Signature(
        kind="classifier",
        inputs=(),
        outputs=(Tensor(name="y", datatype="FP32", shape=(-1, 3)),),
        classes=("a", "b", "c"),
        scores="logits",
    )
    found = OutputReader(signature).one(Predictions(np.array([[1000.0, 0.0, -1000.0]]), None))
    assert (found.prediction, found.probability) == ("a", 1.0)
    assert found.probabilities == {"a": 1.0, "b": 0.0, "c": 0.0}


def _both(scores: Any) -> Signature:
    return Signature(
        kind="classifier",
        inputs=(),
        outputs=(
            Tensor(name="label", datatype="BYTES", shape=(-1,)),
            Tensor(name="scores", datatype="FP32", shape=(-1, 2)),
        ),
        classes=("a", "b"),
        scores=scores,
    )
