"""What a runtime is: what it takes and answers, in which bounds, and what a first run must show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from neuralstream_core.errors import ArtifactRejected, TooLarge
from neuralstream_core.registry.records import Label, Signature

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "DATATYPES",
    "FLOATS",
    "LABELS",
    "MAX_ARTIFACT",
    "MAX_CLASSES",
    "MAX_OUTPUTS",
    "MAX_WIDTH",
    "TRIAL_ROWS",
    "Bounds",
    "Findings",
    "Predictions",
    "Runtime",
    "check_trial",
    "check_width",
    "concatenated",
    "sigmoid",
    "softmax",
    "trial_inputs",
]

MAX_ARTIFACT: Final = 256 * 1024 * 1024
"""Bytes an artifact may have."""

MAX_CLASSES: Final = 10_000
MAX_WIDTH: Final = 100_000
"""Elements one row of an input may have."""
MAX_OUTPUTS: Final = 100_000
"""Values a model may answer for one row: about 2 MB of JSON."""

TRIAL_ROWS: Final = 2
"""Rows of the trial run: two, so that an artifact exported for exactly one row fails it."""

DATATYPES: Final[Mapping[str, np.dtype[np.generic]]] = {
    "FP64": np.dtype(np.float64),
    "FP32": np.dtype(np.float32),
    "FP16": np.dtype(np.float16),
    "INT64": np.dtype(np.int64),
    "INT32": np.dtype(np.int32),
    "INT16": np.dtype(np.int16),
    "INT8": np.dtype(np.int8),
    "UINT64": np.dtype(np.uint64),
    "UINT32": np.dtype(np.uint32),
    "UINT16": np.dtype(np.uint16),
    "UINT8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
    "BYTES": np.dtype(object),
}
"""Open Inference Protocol datatypes and their numpy types; ``BYTES`` holds ``str``."""
FLOATS: Final = frozenset({"FP64", "FP32", "FP16"})
LABELS: Final = frozenset({"INT64", "INT32", "BYTES", "BOOL"})
"""Datatypes of an output that holds class labels."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a model may take; a runtime whose cost follows from its size alone ignores them.

    Attributes:
        load_seconds: wall-clock time to load.
        run_seconds: wall-clock time of one run, unless the run says otherwise.
        run_memory: bytes one run may allocate for its tensors.
    """

    load_seconds: float = 6.0
    run_seconds: float = 2.0
    run_memory: int = 512 * 1024 * 1024


@dataclass(slots=True)
class Findings:
    """What the inspection of an ONNX artifact finds that ONNX Runtime does not tell.

    Attributes:
        classes: the labels of the classifier, in score order.
        zipmap_inputs: output name of each ZipMap → the tensor it reads.
    """

    classes: tuple[Label, ...] | None = None
    zipmap_inputs: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Predictions:
    """Answers of one inference call over ``n`` rows.

    Attributes:
        values: labels or numbers ``(n,)``, or ``(n, k)`` of a model with several outputs (outputs
            side by side in signature order).
        scores: the numbers ``(n, w)`` that a model gives beside its labels, whatever they mean
            (`neuralstream_core.registry.records.Scores`); ``None`` when it gives labels or numbers
            alone.
    """

    values: np.ndarray
    scores: np.ndarray | None

    def tensors(self, signature: Signature) -> dict[str, np.ndarray]:
        """As the named outputs of the signature of the runtime that gave them."""
        outputs, parts = signature.outputs, [self.values]
        if self.scores is not None:
            parts.append(self.scores)
        elif len(outputs) > 1:
            edges = np.cumsum([tensor.shape[1] for tensor in outputs])[:-1]
            parts = np.split(self.values, edges, axis=1)
        return {tensor.name: part for tensor, part in zip(outputs, parts, strict=True)}


def concatenated(parts: Sequence[Predictions]) -> Predictions:
    """The rows of all parts, in order.

    Raises:
        ValueError: their widths differ.
    """
    scores = [part.scores for part in parts if part.scores is not None]
    return Predictions(
        np.concatenate([part.values for part in parts]),
        np.concatenate(scores) if len(scores) == len(parts) else None,
    )


def sigmoid(logits: NDArray[Any]) -> NDArray[np.float64]:
    """1 / (1 + e^-z), computed from e^-abs(z), which cannot overflow. NaN stays NaN."""
    numbers = logits.astype(np.float64)
    tail = np.exp(-np.abs(numbers))
    return np.where(numbers >= 0, 1.0, tail) / (1.0 + tail)


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """e^z over its sum, per row ``(n, w)``. NaN stays NaN."""
    numbers = logits.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        powers = np.exp(numbers - numbers.max(axis=1, keepdims=True))
        made: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
        return made


class Runtime(Protocol):
    """A loaded artifact; ``run`` may be called from several threads at once."""

    signature: Signature
    nbytes: int
    """Bytes it is taken to occupy, estimated from the artifact; `Footprint.loaded` is measured."""

    def run(self, inputs: Mapping[str, np.ndarray], seconds: float | None = None) -> Predictions:
        """Infer ``n`` rows.

        Args:
            inputs: one array per input of the signature, first axis ``n``, of its datatype.
            seconds: how long it may take; as the model was loaded with when not given.

        Raises:
            Invalid: ``inference_timeout``: it took longer; ``inference_memory``: it asked for more
                memory than it may have; ``inference_failed``: the runtime refused the inputs (wrong
                shape or an unusable value).
        """


def trial_inputs(signature: Signature) -> dict[str, np.ndarray]:
    """`TRIAL_ROWS` rows of zeros (empty strings) in the shape the signature declares."""
    made: dict[str, np.ndarray] = {}
    for tensor in signature.inputs:
        shape = (TRIAL_ROWS, *(1 if size < 0 else size for size in tensor.shape[1:]))
        made[tensor.name] = (
            np.full(shape, "", dtype=object)
            if tensor.datatype == "BYTES"
            else np.zeros(shape, dtype=DATATYPES[tensor.datatype])
        )
    return made


def check_trial(predictions: Predictions) -> None:
    """Check that serving can use the outputs of a trial run.

    Raises:
        ArtifactRejected: not one answer per row.
    """
    values, scores, rows = predictions.values, predictions.scores, TRIAL_ROWS
    if values.ndim not in (1, 2) or len(values) != rows:
        raise ArtifactRejected(
            f"the model must answer one prediction per row; {rows} rows gave shape {values.shape}"
        )
    if values.ndim == 2 and values.shape[1] > MAX_OUTPUTS:
        raise ArtifactRejected(
            f"the model answers {values.shape[1]} values per row; at most {MAX_OUTPUTS} can be served"
        )
    if scores is not None and (scores.ndim != 2 or len(scores) != rows):
        raise ArtifactRejected(f"{rows} rows gave scores of shape {scores.shape}")
    if scores is not None and values.ndim != 1:
        raise ArtifactRejected(f"labels of shape {values.shape} beside scores; one label per row")


def check_width(predictions: Predictions) -> Predictions:
    """The predictions, refused when a row is wider than an answer can be: its width may depend on the inputs.

    Raises:
        TooLarge: more than `MAX_OUTPUTS` values per row.
    """
    values = predictions.values
    if values.ndim == 2 and values.shape[1] > MAX_OUTPUTS:
        raise TooLarge(
            f"the model answers {values.shape[1]} values per row; at most {MAX_OUTPUTS} can be served",
            code="answer_too_large",
        )
    return predictions
