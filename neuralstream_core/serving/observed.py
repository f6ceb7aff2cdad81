"""What monitoring is told of an answered or a refused request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from neuralstream_core.errors import Invalid
from neuralstream_core.features.rows import CellStatus
from neuralstream_core.monitoring.observation import (
    UNREAD,
    WRONG_TYPE,
    LogEntry,
    Observation,
    Refused,
    RowObservation,
)
from neuralstream_core.registry.records import FeatureRef, Label
from neuralstream_core.serving.cells import RowError
from neuralstream_core.serving.given import typed
from neuralstream_core.serving.outputs import Answers
from neuralstream_core.serving.predictions import Group, Prediction, Seconds
from neuralstream_core.serving.servable import Servable

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Flags",
    "answered_rows",
    "first_output",
    "observe",
    "observe_group",
    "observe_tensors",
    "refused_before",
    "refused_row",
]


class Flags(TypedDict):
    """How a request was served, as in `RowObservation`."""

    cold: bool
    stale_routing: bool
    pinned: bool


class _Version(TypedDict):
    model: str
    version: str
    profile: str | None
    features: Sequence[FeatureRef]
    classes: Sequence[Label] | None


def _version(servable: Servable) -> _Version:
    version = servable.version
    return {
        "model": version.model,
        "version": version.version,
        "profile": version.profile,
        "features": servable.features,
        "classes": servable.reader.classes,
    }


def observe(prediction: Prediction, flags: Flags, log: Sequence[LogEntry] = ()) -> RowObservation:
    """An answered row; ``log``: its entries of the prediction log."""
    first = prediction.answer.prediction
    return RowObservation(
        **_version(prediction.servable),
        **flags,
        values=tuple(prediction.values),
        status=prediction.status,
        prediction=first[0] if isinstance(first, list) else first,
        score=prediction.answer.probability,
        timings=prediction.seconds,
        log=log,
    )


def refused_row(servable: Servable, values: Sequence[Any], status: Sequence[int] | None) -> Refused:
    """A row that was refused after its features were read."""
    return Refused(**_version(servable), values=values, status=status)


def refused_before(
    servable: Servable, features: Mapping[str, Any], feature_view: str | None
) -> Refused | None:
    """A row that was refused before its features were read: only the request's own values are known.

    Returns:
        ``None`` when it gave none.
    """
    values: list[Any] = [None] * len(servable.features)
    status: list[int] = [UNREAD] * len(servable.features)
    for name, value in features.items():
        try:
            place = servable.place(name, feature_view)
        except Invalid:
            continue  # no input of the model, or ambiguous: there is no series to count it in
        try:
            values[place] = None if value is None else typed(servable.features[place])(value)
            status[place] = CellStatus.NULL if value is None else CellStatus.PRESENT
        except ValueError:
            status[place] = WRONG_TYPE
    if all(cell == UNREAD for cell in status):
        return None
    return refused_row(servable, values, status)


def answered_rows(group: Group, errors: Mapping[int, RowError]) -> NDArray[np.bool_]:
    """Of the rows of `Group.good`, those without an error."""
    return ~np.isin(group.rows[group.good], list(errors))


def observe_group(
    group: Group,
    errors: Mapping[int, RowError],
    keep: NDArray[np.bool_],
    seconds: Seconds | None,
    requests: int,
    flags: Flags,
) -> Observation:
    """The rows of one version, answered and refused.

    Args:
        errors: of the request by row; those of other groups do not matter.
        keep: see `answered_rows`.
        seconds: ``None`` for a job, whose duration is no latency.
        requests: 1 for the first group of a request, 0 for its others and for a job.
    """
    rows = group.rows.tolist() if errors else []
    counts = Counter(errors[row].code for row in rows if row in errors)
    done: NDArray[np.bool_] | None = None
    if keep.sum() < len(group.rows):
        done = np.zeros(len(group.rows), np.bool_)
        done[group.good[keep]] = True
    answers = group.answers
    probability = None if answers is None else answers.probability
    return Observation(
        **_version(group.servable),
        **flags,
        columns=group.columns,
        status=group.status if group.status.any() else None,
        prediction=[] if answers is None else first_output(answers.prediction)[keep],
        score=None if probability is None else probability[keep],
        timings=seconds,
        requests=requests,
        errors=dict(counts) or None,
        answered=done,
    )


def observe_tensors(
    servable: Servable,
    inputs: Mapping[str, np.ndarray],
    answers: Answers,
    seconds: Seconds,
    flags: Flags,
) -> Observation:
    """An inference on the caller's own tensors, split into the version's features if it lists any."""
    columns = servable.binding.split(inputs) if servable.binding is not None else []
    status = np.zeros((len(answers.prediction), len(columns)), np.uint8)
    for place, column in enumerate(columns):
        if column.dtype.kind == "f":
            absent = np.isnan(column.reshape(len(column), -1)).any(axis=1)
            status[absent, place] = CellStatus.NULL
    return Observation(
        **_version(servable),
        **flags,
        columns=columns,
        status=status if status.any() else None,
        prediction=first_output(answers.prediction),
        score=answers.probability,
        timings=seconds,
    )


def first_output(prediction: NDArray[Any]) -> NDArray[Any]:
    """What monitoring and the prediction log follow: of a model with several outputs the first."""
    return prediction if prediction.ndim == 1 else prediction[:, 0]
