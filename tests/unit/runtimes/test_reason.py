"""What a caller is told of ONNX Runtime's errors: the reason, nothing of where it was built."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from neuralstream_core.errors import ArtifactRejected, Invalid
from neuralstream_core.runtimes import load
from neuralstream_core.runtimes._onnx import reason
from tests.support import artifacts

SOURCE = re.compile(r"\.(h|cc|cpp|py|so)\b|onnxruntime|std::|/home|/opt|[A-Z]:\\")


def node(kind: str, *names: str, **more: Any) -> Any:
    return helper.make_node(kind, list(names[:-1]), [names[-1]], name="/layers.0/first", **more)


FAILING = {
    "reshape": (
        [node("Reshape", "x", "w", "r"), helper.make_node("ReduceSum", ["r"], ["y"], keepdims=1)],
        np.array([7, 3], np.int64),
        "cannot be reshaped",
    ),
    "broadcast": ([node("Add", "x", "w", "y")], np.ones(3, np.float32), "dimensions"),
    "matmul": ([node("MatMul", "x", "w", "y")], np.ones((5, 2), np.float32), "dimension"),
    "attributes": (
        [
            helper.make_node("Cast", ["x"], ["t"], to=TensorProto.STRING),
            node(
                "LabelEncoder",
                "t",
                "y",
                domain="ai.onnx.ml",
                keys_strings=["a"],
                values_floats=[1.0, 2.0],
            ),
        ],
        np.ones(1, np.float32),
        "",
    ),
}


@pytest.mark.parametrize(("nodes", "constant", "told"), FAILING.values(), ids=FAILING.keys())
def test_a_refused_model_is_told_why_but_not_where_the_runtime_was_built(
    nodes: Any, constant: np.ndarray, told: str
) -> None:
    with pytest.raises((ArtifactRejected, Invalid)) as refused:
        load("onnx", artifacts.onnx_bytes(nodes, {"w": constant}))

    assert told in refused.value.detail
    assert not SOURCE.search(refused.value.detail), refused.value.detail


MESSAGES = {
    "/onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:360 void* "
    "onnxruntime::BFCArena::AllocateRawInternal(size_t, bool) Failed to allocate": (
        "Failed to allocate"
    ),
    "[ONNXRuntimeError] : 1 : FAIL : /a/b_src/x.h:9 a::b(const T&) [with T = float] n > 0 was "
    "false. n must be positive": "n must be positive",
    r"D:\a\_work\1\s\core\x.cc:7 it broke": "it broke",
    "Load model from /home/builder/m.py failed": "Load model from failed",
    "Name:'/layers.0/MatMul' Status Message: wrong": (
        "Name:'/layers.0/MatMul' Status Message: wrong"
    ),
}


@pytest.mark.parametrize(("said", "told"), MESSAGES.items())
def test_only_places_of_sources_are_left_out(said: str, told: str) -> None:
    assert reason(RuntimeError(said)) == told


@given(st.text())
def test_every_message_becomes_one_short_line(said: str) -> None:
    told = reason(RuntimeError(said))

    assert told
    assert len(told) <= 300
    assert len(told.splitlines()) == 1
