"""Predictions and outcomes as read → as they are measured: labels under one name, numbers side by side.

A class may be text, a number or a boolean, and so may the label that an outcome gives: ``1``, ``1.0``,
``true`` and ``"1"`` all name the class 1. A label that no class of the model has stays what it is, and is a
wrong prediction.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from neuralstream_core.outcomes.scored import Kind, Scored
from neuralstream_core.registry.records import Label, Signature

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from neuralstream_core.outcomes.joined import Joined

__all__ = ["Shape", "Usable", "class_name", "scored_of", "shape_of"]


class Shape(NamedTuple):
    """What a version predicts.

    Attributes:
        classes: as text, in the order of its probabilities; empty of a regressor.
    """

    kind: Kind
    classes: tuple[str, ...]


class Usable(NamedTuple):
    """Rows that can be measured.

    Attributes:
        rows: their positions among those joined.
        left_out: of the others: a label that is no number for a regressor, or a prediction that is none.
    """

    scored: Scored
    rows: NDArray[np.int64]
    left_out: int


def class_name(label: Label) -> str:
    """A class as text."""
    return str(label).lower() if isinstance(label, bool) else str(label)


def shape_of(signature: Signature | None) -> Shape | None:
    """What a version with this signature predicts; ``None`` if it is neither labels nor one number."""
    if signature is None or signature.kind == "embedding" or signature.names:
        return None
    if signature.kind == "regressor":
        return Shape("regressor", ())
    return Shape("classifier", tuple(map(class_name, signature.classes or ())))


def scored_of(joined: Joined, shape: Shape) -> Usable:
    """The rows of a version as columns to be measured."""
    if shape.kind == "regressor":
        rows = np.flatnonzero(np.isfinite(joined.value) & np.isfinite(joined.true_value))
        truth: NDArray[Any] = joined.true_value[rows]
        predicted: NDArray[Any] = joined.value[rows]
        probability = None
    else:
        names = _Names(shape.classes)
        labels = names.of(joined.label, joined.value)
        truths = names.of(joined.true_label, joined.true_value)
        rows = np.flatnonzero([label is not None for label in labels])
        truth, predicted = truths[rows], labels[rows]
        probability = _probability(joined, rows, len(shape.classes))
    scored = Scored(
        kind=shape.kind,
        truth=truth,
        predicted=predicted,
        probability=probability,
        classes=shape.classes,
        weight=joined.weight[rows],
        at=joined.at[rows],
    )
    return Usable(scored, rows, len(joined.at) - len(rows))


class _Names:
    """Names of classes by the text or the number that stands for them."""

    def __init__(self, classes: Iterable[str]) -> None:
        self._known: dict[str | float, str] = {}
        for name in classes:
            self._known[name] = name
            if (number := _number(name)) is not None:
                self._known.setdefault(number, name)

    def of(self, texts: NDArray[Any], numbers: NDArray[np.float64]) -> NDArray[Any]:
        """The name of each label; ``None`` where there is neither text nor number."""
        found = np.empty(len(texts), object)
        given = zip(texts.tolist(), numbers.tolist(), strict=True)
        found[:] = [self._name(text, number) for text, number in given]
        return found

    def _name(self, text: str | None, number: float) -> str | None:
        key: str | float = number if text is None else text
        if key != key:
            return None
        name = self._known.get(key)
        if name is None:
            name = self._known[key] = self._unlisted(key)
        return name

    def _unlisted(self, key: str | float) -> str:
        """The name of a label that is no class in this form."""
        if isinstance(key, float):
            return _text(key)
        number = _number(key)
        return key if number is None else self._known.get(number, key)


def _number(name: str) -> float | None:
    """The number that stands for a class."""
    if name in ("true", "false"):
        return float(name == "true")
    try:
        return float(name)
    except ValueError:
        return None


def _text(number: float) -> str:
    return str(int(number)) if number.is_integer() else repr(number)


def _probability(
    joined: Joined, rows: NDArray[np.int64], classes: int
) -> NDArray[np.float64] | None:
    """``(n, k)``; ``None`` where the version gives none, or did not always."""
    if not len(rows) or classes < 2:
        return None
    if classes == 2:
        positive = joined.probability[rows]
        return None if np.isnan(positive).any() else np.column_stack([1 - positive, positive])
    given = joined.probabilities[rows].tolist()
    if any(one is None or len(one) != classes for one in given):
        return None
    return np.array(given, np.float64)
