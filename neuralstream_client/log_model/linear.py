"""Linear models as the arrays that the service computes in double precision."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from neuralstream_client.log_model.answers import sigmoid, softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["linear_run", "packed", "unpacked"]


def packed(arrays: Mapping[str, Any]) -> bytes:
    """``coef``, ``intercept`` and, of a classifier, ``classes`` as an artifact."""
    file = io.BytesIO()
    plain: Any = {name: np.asarray(value) for name, value in arrays.items()}
    np.savez(file, **plain)
    return file.getvalue()


def unpacked(data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of an artifact."""
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def linear_run(data: bytes) -> Callable[[dict[str, NDArray[Any]]], list[NDArray[Any]]]:
    """What computes an artifact's answers: labels and probabilities, or numbers."""
    arrays = unpacked(data)
    coef = np.atleast_2d(arrays["coef"]).astype(np.float64)
    intercept = np.atleast_1d(arrays.get("intercept", np.zeros(1))).astype(np.float64)
    classes = arrays.get("classes")

    def run(given: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        scores = given["input"] @ coef.T + intercept
        if classes is None:
            return [scores]
        if scores.shape[1] == 1:
            positive = sigmoid(scores[:, 0])
            picked = (scores[:, 0] > 0).astype(np.intp)
            return [classes[picked].astype(object), np.column_stack([1.0 - positive, positive])]
        return [classes[scores.argmax(axis=1)].astype(object), softmax(scores)]

    return run
