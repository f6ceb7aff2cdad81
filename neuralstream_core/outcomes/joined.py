"""What a join of predictions and outcomes is asked for, and what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from neuralstream_core.time import Micros

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MAX_ROWS", "By", "Join", "Joined", "Read"]

MAX_ROWS: Final = 1_000_000
"""Predictions with an outcome of one version that are looked at one by one; of more, a share by hash."""

By: TypeAlias = Literal["predicted", "observed"]
"""Which time lies in a window: when it was predicted, or when its outcome was observed."""


class Join(NamedTuple):
    """What is joined.

    Attributes:
        model: its predictions.
        version: only this one's; all where ``None``.
        start, end: ``[start, end)`` in microseconds.
        by: which of the two times is in the window: when it was predicted, or when its outcome was observed.
        inputs: labels of features whose logged values are read too.
        unit: length of periods whose predictions are counted too.
        since: from when on entities are counted too.
    """

    model: str
    version: str | None
    start: Micros
    end: Micros
    by: By = "predicted"
    inputs: tuple[str, ...] = ()
    unit: Micros | None = None
    since: Micros | None = None


@dataclass(frozen=True, slots=True)
class Joined:
    """Predictions of one version in the window.

    Attributes:
        version: that predicted.
        shadow: it did not answer.
        logged: predictions in the log.
        predictions: that these stand for: more than ``logged`` where only a sample is logged.
        outcomes: predictions among ``logged`` that have an outcome.
        matched: predictions that these stand for.
        share: of ``outcomes`` that are in the arrays, by hash; below 1 beyond `MAX_ROWS`.
        label, value: ``(n,)`` of the prediction: text or ``None``, number or NaN.
        true_label, true_value: ``(n,)`` of the outcome, in the same form.
        probability: ``(n,)`` as answered, NaN where there is none.
        probabilities: ``(n,)`` of lists by class, or ``None``.
        weight: ``(n,)`` predictions that each stands for.
        at: ``(n,)`` the time by which it is in the window.
        inputs: ``(n,)`` by label of a feature: JSON of its value as text, ``None`` where it was not logged.
        entity: ``(n,)`` a number for each entity, 0 without one.
        periods: predictions by number of the period since the epoch, where those were asked for.
        entities: that the version predicted for, where that was asked for.
    """

    version: str
    shadow: bool
    logged: int
    predictions: float
    outcomes: int
    matched: float
    share: float
    label: NDArray[Any]
    value: NDArray[np.float64]
    true_label: NDArray[Any]
    true_value: NDArray[np.float64]
    probability: NDArray[np.float64]
    probabilities: NDArray[Any]
    weight: NDArray[np.float64]
    at: NDArray[np.int64]
    inputs: Mapping[str, NDArray[Any]]
    entity: NDArray[np.uint64]
    periods: Mapping[int, float]
    entities: int


class Read(NamedTuple):
    """What a join found.

    Attributes:
        versions: those with predictions in the window, by number.
        unmatched: outcomes of the window that belong to no prediction in the log.
    """

    versions: list[Joined]
    unmatched: int
