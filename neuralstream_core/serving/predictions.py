"""What the engine answers: `Prediction` for one row and `PredictionColumns` for many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np

from neuralstream_core.features.rows import Entity
from neuralstream_core.outcomes.ids import PredictionId
from neuralstream_core.runtimes import Predictions
from neuralstream_core.serving.cells import RowError
from neuralstream_core.serving.outputs import Answer, Answers
from neuralstream_core.serving.servable import Servable
from neuralstream_core.time import Micros

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Group",
    "Prediction",
    "PredictionColumns",
    "RowIds",
    "Seconds",
    "answer_columns",
    "join_groups",
]

Seconds: TypeAlias = tuple[float, float, float]
"""Duration of a request: total, reading features, inference."""


@dataclass(slots=True)
class Prediction:
    """The answer for one entity.

    Attributes:
        entity: canonical: a string, or a tuple in the primary view's key order or that of ``roles``;
            ``None`` when the request named none.
        values: what the model saw, one per feature; ``None`` where a cell was missing.
        status: cell statuses, or ``None`` when every cell is present.
        predictions: the runtime's own answer, one row.
        degraded: the online store was down and declared defaults were used.
        unique: the ULID of its id.
        roles: whose ids ``entity`` holds, for a model whose views all have roles.
    """

    servable: Servable
    entity: Entity | None
    answer: Answer
    values: Sequence[Any]
    status: Sequence[int] | None
    predictions: Predictions
    seconds: Seconds
    at: Micros
    unique: str
    degraded: bool = False
    roles: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The prediction's id."""
        version = self.servable.version
        return PredictionId(version.model, version.version, self.unique).request

    def features(self) -> dict[str, Any]:
        """What the model saw, by feature name; by its label where two share a name."""
        lookup = self.servable.lookup
        return {
            ref.feature if len(lookup[ref.feature]) == 1 else ref.label: value
            for ref, value in zip(self.servable.features, self.values, strict=True)
        }


@dataclass(slots=True)
class PredictionColumns:
    """The answers for ``n`` rows.

    Attributes:
        model: its name.
        unique: the ULID of the rows' ids.
        numbers: what their ids end with, ``(n,)``.
        versions: names of the versions that answered.
        version: index into `versions` for each row, ``(n,)``.
        prediction: ``(n,)``; numbers or labels, object where versions differ in type or a model has
            several outputs. Meaningless at rows in `errors`.
        probability, score: float64 ``(n,)`` as in `Answer`, NaN where there is none; ``None`` when
            no version gives any.
        probabilities, scores: by class, float64 ``(n,)`` each, NaN where the row's version has no
            such class; empty when no version has three or more.
        errors: by row.
        names: of the values of a prediction by version, for models with several named outputs.
        degraded: the online store was down and declared defaults were used.
    """

    model: str
    unique: str
    numbers: NDArray[np.int64]
    versions: tuple[str, ...]
    version: NDArray[np.intp]
    prediction: NDArray[Any]
    probability: NDArray[np.float64] | None
    score: NDArray[np.float64] | None
    probabilities: dict[str, NDArray[np.float64]]
    scores: dict[str, NDArray[np.float64]]
    errors: dict[int, RowError]
    seconds: Seconds
    names: Mapping[str, tuple[str, ...]]
    degraded: bool = False


@dataclass(slots=True)
class Group:
    """The rows that one version answers, while they are read and inferred.

    Attributes:
        rows: their positions in the request.
        columns: one per feature, of as many cells as `rows`.
        status: cell statuses ``(len(rows), features)``.
        good: positions within `rows` that have all features and, after inference, an answer.
        answers: those of the rows of `good`.
    """

    servable: Servable
    rows: NDArray[np.intp]
    columns: list[NDArray[Any]] = field(default_factory=list)
    status: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    good: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))
    answers: Answers | None = None


class RowIds(NamedTuple):
    """What the ids of a request's rows are made of.

    Attributes:
        model: its name.
        unique: the ULID of the request, or of the job.
        numbers: what the id of each row ends with, ``(n,)``.
    """

    model: str
    unique: str
    numbers: NDArray[np.int64]


def join_groups(
    ids: RowIds,
    groups: Sequence[Group],
    versions: tuple[str, ...],
    version: NDArray[np.intp],
    errors: dict[int, RowError],
    seconds: Seconds,
    *,
    degraded: bool,
) -> PredictionColumns:
    """The answers of all groups in the order of the request."""
    done = [(group, group.answers) for group in groups if group.answers is not None]
    n = len(version)
    return PredictionColumns(
        *ids,
        versions=versions,
        version=version,
        prediction=_predictions(done, n),
        probability=_numbers(done, n, "probability"),
        score=_numbers(done, n, "score"),
        probabilities=_by_class(done, n, "probability"),
        scores=_by_class(done, n, "score"),
        errors=errors,
        seconds=seconds,
        names={group.servable.version.version: group.servable.reader.names for group, _ in done},
        degraded=degraded,
    )


_Done: TypeAlias = "Sequence[tuple[Group, Answers]]"
_Number: TypeAlias = Literal["probability", "score"]


def _predictions(done: _Done, n: int) -> NDArray[Any]:
    dtypes = {answers.prediction.dtype for _, answers in done}
    plain = len(dtypes) == 1 and all(answers.prediction.ndim == 1 for _, answers in done)
    dtype = dtypes.pop() if plain else np.dtype(object)
    prediction = np.full(n, None) if dtype.kind == "O" else np.zeros(n, dtype)
    for group, answers in done:
        rows = group.rows[group.good]
        if plain:
            prediction[rows] = answers.prediction
        else:
            for row, value in zip(rows.tolist(), answers.prediction.tolist(), strict=True):
                prediction[row] = value
    return prediction


def _numbers(done: _Done, n: int, kind: _Number) -> NDArray[np.float64] | None:
    found = [(group, getattr(answers, kind)) for group, answers in done]
    if all(numbers is None for _, numbers in found):
        return None
    joined = np.full(n, np.nan)
    for group, numbers in found:
        if numbers is not None:
            joined[group.rows[group.good]] = numbers
    return joined


def _by_class(done: _Done, n: int, kind: _Number) -> dict[str, NDArray[np.float64]]:
    """Columns by class, of the answers that hold this kind of number for every class."""
    by_class: dict[str, NDArray[np.float64]] = {}
    for group, answers in done:
        if answers.by_class is None or getattr(answers, kind) is None:
            continue
        rows = group.rows[group.good]
        for at, name in enumerate(group.servable.reader.class_names):
            column = by_class.setdefault(name, np.full(n, np.nan))
            column[rows] = answers.by_class[:, at]
    return by_class


def answer_columns(columns: PredictionColumns) -> dict[str, list[Any]]:
    """The fields of each row's answer, one list per field; ``None`` where a row has none.

    Fields are those of the answer of one prediction: ``version``, ``prediction``, ``probability``,
    ``probabilities``, ``score``, ``scores``, ``outputs`` and ``prediction_id``. A row with an error has none
    of them.
    """
    failed = list(columns.errors)

    def values(column: np.ndarray) -> list[Any]:
        found: list[Any] = column.tolist()
        absent = np.flatnonzero(np.isnan(column)).tolist() if column.dtype.kind == "f" else []
        for row in chain(failed, absent):
            found[row] = None
        return found

    def by_name(named: Mapping[str, np.ndarray]) -> list[dict[str, Any] | None]:
        rows = zip(*map(values, named.values()), strict=True)
        return [
            {name: value for name, value in zip(named, row, strict=True) if value is not None}
            or None
            for row in rows
        ]

    fields: dict[str, list[Any]] = {
        "version": values(np.array(columns.versions, object)[columns.version]),
        "prediction": values(columns.prediction),
    }
    for name in ("probability", "score"):
        if (column := getattr(columns, name)) is not None:
            fields[name] = values(column)
    for name in ("probabilities", "scores"):
        if named := getattr(columns, name):
            fields[name] = by_name(named)
    if any(columns.names.values()):
        fields["outputs"] = [
            dict(zip(names, prediction, strict=True))
            if version is not None and (names := columns.names.get(version))
            else None
            for version, prediction in zip(fields["version"], fields["prediction"], strict=True)
        ]
    heads = {name: f"{columns.model}:{name}:{columns.unique}:" for name in columns.versions}
    fields["prediction_id"] = [
        None if version is None else f"{heads[version]}{number}"
        for version, number in zip(fields["version"], columns.numbers.tolist(), strict=True)
    ]
    return fields
