"""Predictions beside what became of them, in columns: what every measure is computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Floats", "Kind", "Scored", "codes_of"]

Floats: TypeAlias = "NDArray[np.float64]"
Kind: TypeAlias = Literal["classifier", "regressor"]


@dataclass(frozen=True, slots=True)
class Scored:
    """Predictions of one version that have an outcome.

    Attributes:
        truth: ``(n,)``, what the outcome said: class labels as text, or float64 of a regressor.
        predicted: ``(n,)``, likewise.
        probability: float64 ``(n, k)``, of each class in the order of ``classes``; ``None``: the version
            gives none.
        classes: of a classifier with probabilities, as text. Of two classes the second is the positive one.
        weight: float64 ``(n,)``, how many predictions each row stands for: 1 / the share that is logged.
        at: int64 ``(n,)``, when each was predicted, microseconds since the epoch.

    Raises:
        ValueError: the columns do not fit together.
    """

    kind: Kind
    truth: NDArray[Any]
    predicted: NDArray[Any]
    probability: Floats | None
    classes: tuple[str, ...]
    weight: Floats
    at: NDArray[np.int64]

    def __post_init__(self) -> None:
        sizes = {len(c) for c in (self.truth, self.predicted, self.weight, self.at)}
        if len(sizes) != 1:
            raise ValueError("columns of different lengths")
        if self.probability is None:
            return
        if self.probability.shape != (len(self.truth), len(self.classes)) or len(self.classes) < 2:
            raise ValueError("probabilities need a column for each of at least two classes")

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, rows: NDArray[Any]) -> Scored:
        """Some of the rows.

        Args:
            rows: a mask ``(n,)`` of bool, or positions.
        """
        return Scored(
            kind=self.kind,
            truth=self.truth[rows],
            predicted=self.predicted[rows],
            probability=None if self.probability is None else self.probability[rows],
            classes=self.classes,
            weight=self.weight[rows],
            at=self.at[rows],
        )


def codes_of(labels: NDArray[Any], classes: Sequence[str]) -> NDArray[np.int64]:
    """The place of each label in ``classes``, ``(n,)``; -1 for a label that is none of them."""
    places = {label: at for at, label in enumerate(classes)}
    return np.fromiter((places.get(label, -1) for label in labels.tolist()), np.int64, len(labels))
