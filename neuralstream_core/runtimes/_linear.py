"""Linear models as plain arrays in an ``.npz``.

======================  ======================================================================
``coef``                float ``(f,)`` or ``(k, f)``
``intercept``           float scalar or ``(k,)``; 0 when absent
``classes``             int, bool or text ``(c,)``; its presence makes the model a classifier
======================  ======================================================================

One row of ``coef`` with two classes is a logistic model (positive class second); ``c`` rows are a
softmax over them; without classes it is a regression with ``k`` outputs. These are the shapes of
scikit-learn's ``coef_``, ``intercept_`` and ``classes_``. The input is ``input``, FP64 ``(n, f)``.

Sizes, names and array headers are checked before anything is allocated, and object arrays are refused.
"""

from __future__ import annotations

import io
import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from neuralstream_core.errors import ArtifactRejected, Invalid
from neuralstream_core.registry.records import Signature, Tensor
from neuralstream_core.runtimes.runtime import (
    MAX_CLASSES,
    MAX_WIDTH,
    Predictions,
    check_trial,
    sigmoid,
    softmax,
    trial_inputs,
)

__all__ = ["LinearRuntime", "inspect_linear"]

MAX_COMPRESSED: Final = 16 * 1024 * 1024
MAX_DECOMPRESSED: Final = 32 * 1024 * 1024
_MEMBERS: Final = frozenset({"coef.npy", "intercept.npy", "classes.npy"})
_DAMAGED: Final = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError),
    *(NotImplementedError, OverflowError, RuntimeError, ValueError),
)
"""What `zipfile` raises for bytes that are no archive, as a fuzzer found."""
_NO_HEADER: Final = (
    *(ValueError, KeyError, SyntaxError, TypeError, struct.error, tokenize.TokenError),
    *(MemoryError, RecursionError, UserWarning),
)
"""What numpy raises for bytes that are no array's header."""
_KINDS: Final = {"coef": "fiu", "intercept": "fiu", "classes": "iubU"}


def inspect_linear(data: bytes) -> dict[str, np.ndarray]:
    """Check the archive and read its arrays.

    Raises:
        ArtifactRejected: with the reason.
    """
    if len(data) > MAX_COMPRESSED:
        raise ArtifactRejected(f"a linear model may have at most {MAX_COMPRESSED} bytes")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            if set(names) - _MEMBERS or len(set(names)) != len(names) or "coef.npy" not in names:
                raise ArtifactRejected(
                    "a linear model is an .npz of coef, intercept and (for classifiers) classes"
                )
            if sum(member.file_size for member in members) > MAX_DECOMPRESSED:
                raise ArtifactRejected(
                    f"the arrays may have at most {MAX_DECOMPRESSED} bytes", code="model_too_large"
                )
            return {
                member.filename.removesuffix(".npy"): _array(archive, member) for member in members
            }
    except _DAMAGED:
        raise ArtifactRejected("the artifact is not a readable .npz archive") from None


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    name = member.filename.removesuffix(".npy")
    with archive.open(member) as stream:
        raw = stream.read(min(member.file_size, MAX_DECOMPRESSED) + 1)
    if len(raw) != member.file_size:
        raise ArtifactRejected(f"{name}: the archive lies about its size")
    head = io.BytesIO(raw)
    try:
        major = np.lib.format.read_magic(head)[0]
        read: Any = {
            1: np.lib.format.read_array_header_1_0,
            2: np.lib.format.read_array_header_2_0,
        }[major]
        shape, fortran, dtype = read(head)
    except _NO_HEADER:
        raise ArtifactRejected(f"{name}: not a plain array") from None
    if dtype.hasobject:
        raise ArtifactRejected(f"{name}: holds Python objects; pickles are never loaded")
    if dtype.kind not in _KINDS[name] or len(shape) > 2:
        raise ArtifactRejected(f"{name}: an array of {dtype} with shape {shape} does not fit here")
    count = int(np.prod([int(size) for size in shape], dtype=object)) if shape else 1
    body = memoryview(raw)[head.tell() :]
    if min(shape, default=1) < 1 or dtype.itemsize < 1 or count * dtype.itemsize != len(body):
        raise ArtifactRejected(f"{name}: shape {shape} does not match its {len(body)} bytes")
    array = np.frombuffer(body, dtype=dtype)
    return array.reshape(shape, order="F" if fortran else "C")


class LinearRuntime:
    """A `Runtime` of one matrix product.

    Raises:
        ArtifactRejected: the archive or the shapes in it do not make a model.
    """

    def __init__(self, data: bytes) -> None:
        arrays = inspect_linear(data)
        coef = np.atleast_2d(arrays["coef"]).astype(np.float64)
        intercept = np.atleast_1d(arrays.get("intercept", np.zeros(1))).astype(np.float64)
        if intercept.ndim != 1 or len(intercept) not in (1, len(coef)):
            raise ArtifactRejected(f"coef has {len(coef)} rows, intercept {intercept.shape}")
        if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
            raise ArtifactRejected("coef and intercept must be finite")
        if coef.shape[1] > MAX_WIDTH or len(coef) > MAX_CLASSES:
            raise ArtifactRejected(f"coef of shape {coef.shape} is too large")
        self._weights = np.ascontiguousarray(coef.T)
        self._intercept = intercept
        self._classes = _classes(arrays.get("classes"), len(coef))
        self.nbytes = self._weights.nbytes + (1 << 16)
        self.signature = _signature(coef, self._classes)
        check_trial(self.run(trial_inputs(self.signature)))

    def run(
        self,
        inputs: Mapping[str, np.ndarray],
        seconds: float | None = None,  # noqa: ARG002 - one matrix product: its size bounds its time
    ) -> Predictions:
        """See `Runtime.run`."""
        rows = inputs["input"]
        if rows.ndim != 2 or rows.shape[1] != len(self._weights):
            raise Invalid(
                f"the model takes rows of {len(self._weights)} numbers, got shape {rows.shape}",
                code="inference_failed",
            )
        # An overflow gives infinity, which serving refuses as not finite.
        with np.errstate(over="ignore", invalid="ignore"):
            return self._answer(rows.astype(np.float64, copy=False))

    def _answer(self, rows: np.ndarray) -> Predictions:
        scores = rows @ self._weights + self._intercept
        if self._classes is None:
            return Predictions(scores[:, 0] if scores.shape[1] == 1 else scores, None)
        if scores.shape[1] == 1:
            positive = sigmoid(scores[:, 0])
            probabilities = np.stack((1.0 - positive, positive), axis=1)
            picked = (scores[:, 0] > 0).astype(np.intp)
        else:
            probabilities = softmax(scores)
            picked = scores.argmax(axis=1)
        return Predictions(self._classes[picked], probabilities)


def _classes(classes: np.ndarray | None, rows: int) -> np.ndarray | None:
    if classes is None:
        return None
    if classes.ndim != 1 or len(classes) > MAX_CLASSES or len(np.unique(classes)) != len(classes):
        raise ArtifactRejected("classes must be distinct labels in one axis")
    if len(classes) != (2 if rows == 1 else rows) or len(classes) < 2:
        raise ArtifactRejected(f"{len(classes)} classes do not fit {rows} rows of coef")
    if classes.dtype.kind != "U":
        return classes
    try:
        return classes.astype(object)
    except ValueError:
        raise ArtifactRejected("classes hold text that is not Unicode") from None


def _signature(coef: np.ndarray, classes: np.ndarray | None) -> Signature:
    inputs = (Tensor(name="input", datatype="FP64", shape=(-1, coef.shape[1])),)
    if classes is None:
        shape = (-1,) if len(coef) == 1 else (-1, len(coef))
        return Signature(
            kind="regressor",
            inputs=inputs,
            outputs=(Tensor(name="prediction", datatype="FP64", shape=shape),),
        )
    datatype = {"O": "BYTES", "b": "BOOL"}.get(classes.dtype.kind, "INT64")
    return Signature(
        kind="classifier",
        inputs=inputs,
        outputs=(
            Tensor(name="label", datatype=datatype, shape=(-1,)),
            Tensor(name="probabilities", datatype="FP64", shape=(-1, len(classes))),
        ),
        classes=tuple(classes.tolist()),
        scores="probability",
    )
