"""What a model answers for rows, in one form for the trained model and for the served one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Answers", "Kind", "Meaning", "joined", "labels_of", "sigmoid", "softmax"]

Kind = Literal["classifier", "regressor", "anomaly", "clusterer", "embedding"]
Meaning = Literal["probability", "logits", "score"]

_WHOLE: Final = "iu"


@dataclass(frozen=True)
class Answers:
    """Answers for ``n`` rows.

    Attributes:
        prediction: labels ``(n,)`` as objects, or numbers ``(n,)`` or ``(n, k)`` as float64.
        numbers: probabilities, decision values or distances ``(n, w)`` beside the labels.
    """

    prediction: NDArray[Any]
    numbers: NDArray[np.float64] | None = None

    def take(self, rows: Sequence[int] | NDArray[Any]) -> Answers:
        numbers = None if self.numbers is None else self.numbers[rows]
        return Answers(self.prediction[rows], numbers)


def joined(parts: Sequence[Answers]) -> Answers:
    """The rows of all parts, in order."""
    numbers = [part.numbers for part in parts if part.numbers is not None]
    return Answers(
        np.concatenate([part.prediction for part in parts]),
        np.concatenate(numbers) if len(numbers) == len(parts) else None,
    )


def labels_of(values: Any) -> NDArray[Any]:
    """Labels ``(n,)`` as Python objects: whole numbers, text or booleans."""
    array = np.asarray(values)
    array = array.reshape(len(array))
    made = np.empty(len(array), object)
    made[:] = [_label(value) for value in array.tolist()]
    return made


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + e^-z), without overflow."""
    tail = np.exp(-np.abs(logits))
    made: NDArray[np.float64] = np.where(logits >= 0, 1.0, tail) / (1.0 + tail)
    return made


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """e^z over its sum, per row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    made: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return made


def _label(value: Any) -> Any:
    """A float that is whole as the integer that converters make of it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
