"""What a model's outputs mean: the answer of one row, and the answers of many.

A property test holds the two forms equal. Decided once per version from its signature:

===========================  ==========================================================================
``scores`` of the signature  what is answered beside ``prediction``
===========================  ==========================================================================
``probability``, ``logits``  ``probability``: binary: of the positive class, otherwise of the predicted
                             one; with three or more classes ``probabilities`` of them all
``score``                    ``score``: binary: of the positive class, one number: that number, otherwise
                             of the predicted class or cluster; with three or more ``scores`` of them all
``ignored`` or no scores     nothing
===========================  ==========================================================================

A row whose answer is not finite, or whose probability is not in [0, 1], is refused by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from neuralstream_core.errors import Invalid
from neuralstream_core.registry.records import Label, Scores, Signature
from neuralstream_core.runtimes import FLOATS, Predictions, Runtime, sigmoid, softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Answer", "Answers", "OutputReader", "not_finite", "wrong_row_count"]

_ONE: Final = 1.000001
"""Probabilities computed in float32 exceed 1 by up to this much; they are answered as 1."""
_LARGEST: Final = float(np.finfo(np.float64).max)


@dataclass(slots=True)
class Answer:
    """The answer of one row.

    Attributes:
        prediction: a label, a number, or a list of a model with several outputs.
        probability: binary: of the positive class; otherwise of the predicted class.
        probabilities: by class, only with three or more of them.
        score: a number that is no probability: a decision value, an anomaly score, a distance.
        scores: by class or cluster, only with three or more of them.
    """

    prediction: Any
    probability: float | None = None
    probabilities: dict[str, float] | None = None
    score: float | None = None
    scores: dict[str, float] | None = None


@dataclass(slots=True)
class Answers:
    """The answers of ``n`` rows.

    Attributes:
        prediction: ``(n,)``, or ``(n, k)`` of a model with several outputs.
        probability, score: float64 ``(n,)`` as in `Answer`, or ``None``.
        by_class: the numbers ``(n, w)`` of every class, or ``None`` with fewer than three of them.
        good: bool ``(n,)``: rows that have an answer.
    """

    prediction: NDArray[Any]
    probability: NDArray[np.float64] | None
    score: NDArray[np.float64] | None
    by_class: NDArray[Any] | None
    good: NDArray[np.bool_]

    @property
    def size(self) -> int:
        """How many labels and numbers they are."""
        return self.prediction.size + (0 if self.by_class is None else self.by_class.size)


class OutputReader:
    """Reads the outputs of one version.

    Args:
        signature: settled, see `neuralstream_core.trial.kinds`.
    """

    def __init__(self, signature: Signature) -> None:
        self.kind = signature.kind
        self.classes = signature.classes
        self.names = signature.names
        meaning: Scores = signature.scores or "ignored"
        labels = signature.outputs[0].datatype not in FLOATS
        beside = labels and len(signature.outputs) == 2
        if beside and signature.scores is None and signature.kind == "classifier":
            meaning = "probability"  # registered before signatures said what the second output is
        self._softmax = meaning == "logits"
        self._is_score = meaning == "score"
        self._unread = meaning == "ignored"
        self._derives = not labels and signature.kind in ("classifier", "anomaly")
        self._numeric = not labels and not self._derives
        self._shapes = _row_shapes(signature, beside=beside)
        self._labels = _label_array(self.classes)
        self._place = {label: at for at, label in enumerate(self.classes or ())}
        self.class_names = tuple(
            str(label).lower() if isinstance(label, bool) else str(label)
            for label in self.classes or ()
        )
        """Of `Answers.by_class` and the keys of ``probabilities`` and ``scores``."""

    @property
    def multiple(self) -> bool:
        """Whether a prediction is a list: a model with several outputs."""
        return not self._derives and self._shapes[0] not in ((), (1,))

    @property
    def named_numbers(self) -> tuple[str, tuple[str, ...]]:
        """Which of ``probabilities`` and ``scores`` an answer has, and its keys; without keys none."""
        if len(self.class_names) < 3 or self._unread or not (self._derives or self._shapes[1]):
            return "", ()
        if self._is_score and self._shapes[1] not in ((), (len(self.class_names),)):
            return "", ()
        return "scores" if self._is_score else "probabilities", self.class_names

    @property
    def has_score(self) -> bool:
        """Whether an answer may have a ``score``."""
        return self._is_score

    def run(
        self,
        runtime: Runtime,
        inputs: Mapping[str, np.ndarray],
        rows: int,
        seconds: float | None = None,
    ) -> Predictions:
        """The model's outputs for ``rows`` rows.

        Args:
            seconds: how long it may take, as for `Runtime.run`.

        Raises:
            Invalid: as `Runtime.run`, or ``wrong_row_count``: not one answer per row.
        """
        predictions = runtime.run(inputs, seconds)
        values, scores = predictions.values, predictions.scores
        if values.shape != (rows, *self._shapes[0]):
            raise wrong_row_count(rows, values)
        if scores is not None and scores.shape != (rows, *self._shapes[1]):
            raise wrong_row_count(rows, scores)
        return predictions

    def one(self, predictions: Predictions) -> Answer:
        """The answer of predictions of exactly one row.

        Raises:
            Invalid: it is not finite, or not a probability where one is due.
        """
        if self._derives or self._softmax:
            predictions = self._derived(predictions)
        prediction = predictions.values.tolist()[0]
        if predictions.scores is None or self._unread:
            if not self._numeric or np.isfinite(predictions.values).all():
                return Answer(prediction)
            raise not_finite()
        given: list[float] = predictions.scores.tolist()[0]
        if self._is_score:
            return self._scored(prediction, given)
        for value in given:
            if not 0.0 <= value <= _ONE:  # also true for NaN
                raise not_finite()
        if len(given) <= 2:
            return Answer(prediction, min(given[-1], 1.0))
        at = self._place.get(prediction)
        probability = max(given) if at is None or at >= len(given) else given[at]
        return Answer(prediction, min(probability, 1.0), self._named(given, 1.0))

    def many(self, predictions: Predictions) -> Answers:
        """The answers of ``n`` rows; a row without one is not `Answers.good`."""
        if self._derives or self._softmax:
            predictions = self._derived(predictions)
        values, scores = predictions.values, predictions.scores
        if scores is None or self._unread:
            good = _within(values, -_LARGEST, _LARGEST, checked=self._numeric)
            return Answers(values, None, None, None, good)
        width = scores.shape[1]
        if self._is_score:
            good = _within(scores, -_LARGEST, _LARGEST)
            score = self._picked(values, scores)
            named = scores if score is not None and width > 2 else None
            return Answers(values, None, score, named, good)
        good = _within(scores, 0.0, _ONE)
        if width <= 2:
            probability = scores[:, -1].astype(np.float64)
            return Answers(values, np.minimum(probability, 1.0), None, None, good)
        probability = scores.max(axis=1) if not self._place else self._of_label(values, scores)
        named = np.minimum(scores, 1.0) if len(self._place) == width else None
        return Answers(values, np.minimum(probability.astype(np.float64), 1.0), None, named, good)

    def _scored(self, prediction: Any, given: list[float]) -> Answer:
        for value in given:
            if not -_LARGEST <= value <= _LARGEST:
                raise not_finite()
        width = len(given)
        if width == 1 or (width == 2 and self.kind == "classifier"):
            return Answer(prediction, score=given[-1])
        if width != len(self._place):
            return Answer(prediction)
        at = self._place.get(prediction)
        score = max(given) if at is None else given[at]
        return Answer(prediction, score=score, scores=self._named(given) if width > 2 else None)

    def _picked(self, values: NDArray[Any], scores: NDArray[Any]) -> NDArray[np.float64] | None:
        """The score that is answered for each row, as in `_scored`."""
        width = scores.shape[1]
        if width == 1 or (width == 2 and self.kind == "classifier"):
            return scores[:, -1].astype(np.float64)
        if width != len(self._place):
            return None
        return self._of_label(values, scores).astype(np.float64)

    def _of_label(self, values: NDArray[Any], scores: NDArray[Any]) -> NDArray[Any]:
        """Each row's number of its own label; the largest where the label is none of the classes."""
        width = scores.shape[1]
        place = self._place
        at = np.fromiter((place.get(v, width) for v in values.tolist()), np.intp, len(values))
        unknown = at >= width
        if unknown.any():
            at[unknown] = scores[unknown].argmax(axis=1)
        picked: NDArray[Any] = scores[np.arange(len(values)), at]
        return picked

    def _named(self, given: list[float], most: float | None = None) -> dict[str, float] | None:
        if len(given) != len(self.class_names):
            return None
        if most is not None:
            return {n: min(p, most) for n, p in zip(self.class_names, given, strict=True)}
        return dict(zip(self.class_names, given, strict=True))

    def _derived(self, predictions: Predictions) -> Predictions:
        """Labels and scores of a model that gives numbers alone, and probabilities out of logits."""
        values, scores = predictions.values, predictions.scores
        raw = values.reshape(len(values), -1) if scores is None else scores
        if self.kind == "anomaly":
            return Predictions(np.where(raw[:, 0] < 0, -1, 1), raw)
        numbers = raw
        if self._softmax:
            numbers = sigmoid(raw) if raw.shape[1] == 1 else softmax(raw)
        if scores is not None or self._labels is None:
            return Predictions(values, numbers)
        if raw.shape[1] == 1:
            threshold = 0.0 if self._is_score else 0.5
            return Predictions(self._labels[(numbers[:, 0] > threshold).astype(np.intp)], numbers)
        return Predictions(self._labels[numbers.argmax(axis=1)], numbers)


def _within(
    numbers: NDArray[Any], low: float, high: float, *, checked: bool = True
) -> NDArray[np.bool_]:
    """Rows whose numbers are all in [low, high], which NaN is not."""
    if not checked or not numbers.size:
        return np.ones(len(numbers), np.bool_)
    if float(numbers.min()) >= low and float(numbers.max()) <= high:  # nearly always
        return np.ones(len(numbers), np.bool_)
    rows = numbers.reshape(len(numbers), -1).astype(np.float64)
    good: NDArray[np.bool_] = np.all((rows >= low) & (rows <= high), axis=1)
    return good


def _row_shapes(signature: Signature, *, beside: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of one row of `Predictions.values` and `Predictions.scores`."""
    outputs = signature.outputs
    if beside:
        return (), outputs[1].shape[1:]
    if len(outputs) == 1:
        return outputs[0].shape[1:], ()
    return (sum(tensor.shape[1] for tensor in outputs),), ()


def _label_array(classes: tuple[Label, ...] | None) -> NDArray[Any] | None:
    if classes is None:
        return None
    if any(isinstance(label, str) for label in classes):
        made = np.empty(len(classes), dtype=object)
        made[:] = classes
        return made
    return np.array(classes)


def not_finite() -> Invalid:
    """The error of an answer that is NaN or infinite, typically for a missing input."""
    return Invalid("the model's answer for these features is not a number", code="not_finite")


def wrong_row_count(rows: int, output: NDArray[Any]) -> Invalid:
    """The error of a model that did not give one answer per row."""
    asked = "1 row" if rows == 1 else f"{rows} rows"
    return Invalid(
        f"the model answered {asked} with an output of shape {output.shape}",
        code="wrong_row_count",
    )
