"""How features become tensors."""

from __future__ import annotations

import numpy as np
import pytest

from neuralstream_core.errors import ArtifactRejected, Invalid
from neuralstream_core.registry.records import FeatureRef, Signature, Tensor
from neuralstream_core.runtimes.binding import bind


def ref(name: str, dtype: str = "float64", size: int = 1, view: str | None = "v") -> FeatureRef:
    return FeatureRef(view=view, feature=name, dtype=dtype, size=size)


def signature(*inputs: tuple[str, str, tuple[int, ...]]) -> Signature:
    return Signature(
        kind="regressor",
        inputs=tuple(Tensor(name=n, datatype=d, shape=s) for n, d, s in inputs),
        outputs=(Tensor(name="y", datatype="FP32", shape=(-1,)),),
    )


def test_one_wide_input_takes_scalars_and_vectors_in_order() -> None:
    refs = [ref("a"), ref("e", size=3), ref("b", "bool"), ref("t", "timestamp")]
    binding = bind(signature(("x", "FP32", (-1, 6))), refs)
    one = binding.row([1, [2.0, 3.0, 4.0], True, 7])
    assert one["x"].tolist() == [[1, 2, 3, 4, 1, 7]]
    assert one["x"].dtype == np.float32
    columns = [
        np.array([1.0, 9.0]),
        np.array([[2.0, 3, 4], [5, 6, 7]]),
        np.array([True, False]),
        np.array([7, 8]),
    ]
    many = binding.columns(columns, None)
    assert many["x"].tolist() == [[1, 2, 3, 4, 1, 7], [9, 5, 6, 7, 0, 8]]
    for column, back in zip(columns, binding.split(many), strict=True):
        assert back.tolist() == column.tolist()


def test_missing_becomes_nan_or_empty_text_where_the_input_can_say_so() -> None:
    refs = [ref("a"), ref("e", size=2), ref("w", "string"), ref("n", "int64")]
    binding = bind(
        signature(("a", "FP32", (-1, 1)), ("e", "FP64", (-1, 2)), ("w", "BYTES", (-1, 1)),
                  ("n", "INT64", (-1,))), refs,
    )  # fmt: skip
    assert binding.nullable == (True, True, True, False)
    one = binding.row([None, None, None, 5])
    assert np.isnan(one["a"]).all()
    assert np.isnan(one["e"]).all()
    assert one["w"].tolist() == [[""]]
    assert one["n"].tolist() == [5]
    missing = np.array([[True, True, True, False]])
    cells = [np.zeros(1), np.zeros((1, 2)), np.array(["old"], object), np.array([5])]
    many = binding.columns(cells, missing)
    for name, tensor in one.items():
        np.testing.assert_array_equal(many[name], tensor)


def test_inputs_named_like_features_are_bound_by_name_in_any_order() -> None:
    refs = [ref("b"), ref("a"), ref("a", view="w")]
    inputs = signature(("w:a", "FP32", (-1, 1)), ("v:a", "FP32", (-1, 1)), ("b", "FP32", (-1, 1)))
    assert {n: t.item() for n, t in bind(inputs, refs).row([1, 2, 3]).items()} == {
        "w:a": 3,
        "v:a": 2,
        "b": 1,
    }


def test_several_wide_inputs_take_the_features_in_order() -> None:
    refs = [ref("a"), ref("b"), ref("c", "string")]
    inputs = signature(("numbers", "FP32", (-1, 2)), ("words", "BYTES", (-1, 1)))
    bound = bind(inputs, refs).row([1, 2, "x"])
    assert bound["numbers"].tolist() == [[1, 2]]
    assert bound["words"].tolist() == [["x"]]


def test_an_image_like_input_is_reshaped_from_one_vector() -> None:
    binding = bind(signature(("x", "FP32", (-1, 2, 3))), [ref("e", size=6)])
    assert binding.row([list(range(6))])["x"].tolist() == [[[0, 1, 2], [3, 4, 5]]]
    assert binding.columns([np.arange(12).reshape(2, 6)], None)["x"].shape == (2, 2, 3)


@pytest.mark.parametrize(
    ("inputs", "refs", "reason"),
    [
        ([("x", "FP32", (-1, 3))], [ref("a"), ref("b")], "takes 3 values"),
        ([("x", "FP32", (-1, 1))], [ref("a"), ref("b")], "full before v:b"),
        ([("x", "FP32", (-1, 2))], [ref("a"), ref("w", "string")], "does not fit"),
        ([("x", "BYTES", (-1, 1))], [ref("a")], "does not fit"),
        ([("x", "INT64", (-1, 1))], [ref("a", "float32")], "does not fit"),
        ([("x", "BOOL", (-1, 1))], [ref("a", "int64")], "does not fit"),
        (
            [("x", "FP32", (-1, -1)), ("y", "FP32", (-1, 1))],
            [ref("a"), ref("b")],
            "no declared width",
        ),
        ([("x", "FP32", (-1, 2))], [ref("e", size=3)], "takes 2 values"),
    ],
)
def test_what_cannot_fit_is_refused_with_the_reason(inputs, refs, reason) -> None:
    with pytest.raises(ArtifactRejected, match=reason):
        bind(signature(*inputs), refs)


def test_values_beyond_the_inputs_type_are_the_callers_error() -> None:
    binding = bind(signature(("n", "INT32", (-1, 1))), [ref("n", "int64")])
    with pytest.raises(Invalid):
        binding.row([1 << 40])
